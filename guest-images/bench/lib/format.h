// The part of printf that the guest needs: %s %c %u %lu %d %ld %x %lx %%, and a field width filled with
// zeros.
#pragma once
#include <stdarg.h>
#include "lib/types.h"

// Writes at most size - 1 characters and a zero; returns how many characters it wrote.
u32 format_text(char *buffer, u32 size, const char *format, ...) __attribute__((format(printf, 3, 4)));
u32 format_text_list(char *buffer, u32 size, const char *format, va_list arguments);
