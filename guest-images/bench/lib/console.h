// The serial console: whole lines only, so that lines of different processors never mix.
#pragma once
#include "lib/types.h"

void console_write_line(const char *text, u32 length);

// Bytes without effect (spaces before the next line), for measuring.
void console_write_filler_byte(void);
void console_write_filler_64(void);
