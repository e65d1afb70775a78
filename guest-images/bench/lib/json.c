#include "lib/json.h"

#include "lib/console.h"
#include "lib/format.h"

#define TAIL_ROOM 2 // for "]}", whatever else does not fit

static void put(struct json *line, char character) {
  if (line->length < sizeof line->text - TAIL_ROOM) line->text[line->length++] = character;
}

static void put_quoted(struct json *line, const char *text) {
  put(line, '"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') put(line, '\\');
    put(line, *text >= ' ' && *text < 0x7f ? *text : '?');
  }
  put(line, '"');
}

static void put_name(struct json *line, const char *name) {
  if (line->length > 1) put(line, ',');
  put_quoted(line, name);
  put(line, ':');
}

void json_begin(struct json *line, const char *event) {
  line->length = 0;
  put(line, '{');
  json_string(line, "event", event);
}

void json_number(struct json *line, const char *name, u64 value) {
  char digits[24];
  format_text(digits, sizeof digits, "%lu", value);
  put_name(line, name);
  for (const char *digit = digits; *digit; digit++) put(line, *digit);
}

void json_string(struct json *line, const char *name, const char *value) {
  put_name(line, name);
  put_quoted(line, value);
}

void json_array_open(struct json *line, const char *name) {
  put_name(line, name);
  put(line, '[');
}

void json_array_add(struct json *line, const char *value) {
  if (line->text[line->length - 1] != '[') put(line, ',');
  put_quoted(line, value);
}

void json_array_close(struct json *line) { line->text[line->length++] = ']'; }

void json_send(struct json *line) {
  line->text[line->length++] = '}';
  console_write_line(line->text, line->length);
}
