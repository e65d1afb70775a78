#include "lib/parse.h"

#include "lib/string.h"

const char *text_find(const char *text, char character) {
  for (; *text; text++)
    if (*text == character) return text;
  return NULL;
}

static s32 digit_value(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  if (character >= 'A' && character <= 'F') return character - 'A' + 10;
  return -1;
}

bool parse_number(const char **cursor, u64 *value) {
  const char *text = *cursor;
  u64 base = 10, result = 0;
  if (strncmp(text, "0x", 2) == 0) {
    base = 16;
    text += 2;
  }
  const char *first = text;
  for (s32 digit; (digit = digit_value(*text)) >= 0 && (u64)digit < base; text++) {
    if (result > (~0ull - (u64)digit) / base) return false;
    result = result * base + (u64)digit;
  }
  *cursor = text;
  *value = result;
  return text != first;
}

bool parse_size(const char **cursor, u64 *value) {
  static const char suffixes[] = "KMGT";
  if (!parse_number(cursor, value)) return false;
  const char *suffix = **cursor ? text_find(suffixes, **cursor) : NULL;
  if (!suffix) return true;
  u32 shift = 10 * (u32)(suffix - suffixes + 1);
  if (*value > ~0ull >> shift) return false;
  *value <<= shift;
  *cursor += strncmp(*cursor + 1, "iB", 2) == 0 ? 3 : 1;
  return true;
}

bool parse_ipv4(const char **cursor, u32 *address) {
  *address = 0;
  for (u32 i = 0; i < 4; i++) {
    u64 part;
    if (i && *(*cursor)++ != '.') return false;
    if (!parse_number(cursor, &part) || part > 255) return false;
    *address = *address << 8 | (u32)part;
  }
  return true;
}

bool parse_whole_number(const char *text, u64 *value) { return parse_number(&text, value) && !*text; }
bool parse_whole_size(const char *text, u64 *value) { return parse_size(&text, value) && !*text; }
