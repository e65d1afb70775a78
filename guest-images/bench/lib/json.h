// Builds one line of the console protocol: a flat JSON object whose first member is the event's name.
#pragma once
#include "lib/types.h"

struct json {
  u32 length;
  char text[1500];
};

void json_begin(struct json *line, const char *event);
void json_number(struct json *line, const char *name, u64 value);
void json_string(struct json *line, const char *name, const char *value);
// An array of strings: open, add each, close.
void json_array_open(struct json *line, const char *name);
void json_array_add(struct json *line, const char *value);
void json_array_close(struct json *line);
// Closes the object and writes it to the console.
void json_send(struct json *line);
