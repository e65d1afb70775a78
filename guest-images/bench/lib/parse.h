// Numbers and addresses in words of the command line. Every function returns whether the text was
// well-formed.
#pragma once
#include "lib/types.h"

// The first place of the character, or null.
const char *text_find(const char *text, char character);

// These read from *cursor on and move it behind what they read.
bool parse_number(const char **cursor, u64 *value); // decimal, or hexadecimal with 0x
bool parse_size(const char **cursor, u64 *value);   // a number, then K, M, G, T, perhaps iB
bool parse_ipv4(const char **cursor, u32 *address); // a.b.c.d, in host byte order

// These want the text to end there.
bool parse_whole_number(const char *text, u64 *value);
bool parse_whole_size(const char *text, u64 *value);
