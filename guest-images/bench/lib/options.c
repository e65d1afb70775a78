#include "lib/options.h"

#include "lib/fatal.h"
#include "lib/parse.h"
#include "lib/string.h"

static const struct option *find(const struct option *options, u32 count, const char *word) {
  const char *equals = text_find(word, '=');
  if (!equals) return NULL;
  size_t length = (size_t)(equals - word);
  for (u32 i = 0; i < count; i++)
    if (strlen(options[i].name) == length && strncmp(options[i].name, word, length) == 0) return &options[i];
  return NULL;
}

static u64 *number_field(const struct option *option, void *target) {
  return (u64 *)((char *)target + option->offset);
}

static bool parse_choice(const char *text, const char *const *choices, u64 *value) {
  for (*value = 0; choices[*value]; ++*value)
    if (strcmp(choices[*value], text) == 0) return true;
  return false;
}

static bool parse_value(const struct option *option, const char *text, u64 *value) {
  switch (option->type) {
    case OPTION_NUMBER: return parse_whole_number(text, value);
    case OPTION_SIZE: return parse_whole_size(text, value);
    case OPTION_RATE:
      if (strcmp(text, "max") != 0) return parse_whole_number(text, value);
      *value = 0;
      return true;
    case OPTION_CHOICE: return parse_choice(text, option->choices, value);
    default: return false;
  }
}

void options_set_fallbacks(const struct option *options, u32 count, void *target) {
  for (u32 i = 0; i < count; i++)
    if (options[i].type != OPTION_TEXT) *number_field(&options[i], target) = options[i].fallback;
}

bool options_set(const struct option *options, u32 count, void *target, const char *word) {
  const struct option *option = find(options, count, word);
  if (!option) return false;
  const char *text = word + strlen(option->name) + 1;
  if (option->type == OPTION_TEXT) {
    *(const char **)((char *)target + option->offset) = text;
    return true;
  }
  u64 value;
  if (!parse_value(option, text, &value)) fatal("bad value in the word %s", word);
  if (option->type != OPTION_CHOICE && (value < option->min || value > option->max))
    fatal("the word %s is out of bounds: %lu to %lu are allowed", word, option->min, option->max);
  *number_field(option, target) = value;
  return true;
}

void options_require(const struct option *options, u32 count, const void *target, const char *owner) {
  for (u32 i = 0; i < count; i++)
    if (options[i].is_required && *number_field(&options[i], (void *)target) == 0)
      fatal("%s needs the word %s=", owner, options[i].name);
}
