#include "lib/fatal.h"

#include "cpu/power.h"
#include "lib/format.h"
#include "lib/json.h"

void fatal(const char *format, ...) {
  char why[400];
  va_list arguments;
  va_start(arguments, format);
  format_text_list(why, sizeof why, format, arguments);
  va_end(arguments);
  struct json line;
  json_begin(&line, "fatal");
  json_string(&line, "why", why);
  json_send(&line);
  power_off();
}
