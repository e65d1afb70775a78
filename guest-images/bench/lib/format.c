#include "lib/format.h"

struct output {
  char *text;
  u32 length, size;
};

static void put(struct output *out, char character) {
  if (out->length + 1 < out->size) out->text[out->length++] = character;
}

static void put_number(struct output *out, u64 value, u32 base, u32 width) {
  char digits[24];
  u32 count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value);
  for (u32 i = count; i < width; i++) put(out, '0');
  while (count) put(out, digits[--count]);
}

static void put_signed(struct output *out, s64 value, u32 width) {
  if (value < 0) put(out, '-');
  put_number(out, value < 0 ? -(u64)value : (u64)value, 10, width);
}

static void put_string(struct output *out, const char *text) {
  while (*text) put(out, *text++);
}

// Formats the argument of one conversion; returns the first character behind the conversion.
static const char *put_conversion(struct output *out, const char *format, va_list *arguments) {
  u32 width = 0;
  while (*format >= '0' && *format <= '9') width = width * 10 + (u32)(*format++ - '0');
  bool is_long = *format == 'l';
  if (is_long) format++;
  switch (*format) {
    case 's': put_string(out, va_arg(*arguments, const char *)); break;
    case 'c': put(out, (char)va_arg(*arguments, int)); break;
    case 'd': put_signed(out, is_long ? va_arg(*arguments, s64) : va_arg(*arguments, int), width); break;
    case 'u': put_number(out, is_long ? va_arg(*arguments, u64) : va_arg(*arguments, u32), 10, width); break;
    case 'x': put_number(out, is_long ? va_arg(*arguments, u64) : va_arg(*arguments, u32), 16, width); break;
    case 0: return format;
    default: put(out, *format);
  }
  return format + 1;
}

u32 format_text_list(char *buffer, u32 size, const char *format, va_list arguments) {
  struct output out = {buffer, 0, size};
  va_list rest;
  va_copy(rest, arguments);
  while (*format) {
    if (*format == '%')
      format = put_conversion(&out, format + 1, &rest);
    else
      put(&out, *format++);
  }
  va_end(rest);
  buffer[out.length] = 0;
  return out.length;
}

u32 format_text(char *buffer, u32 size, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  u32 length = format_text_list(buffer, size, format, arguments);
  va_end(arguments);
  return length;
}
