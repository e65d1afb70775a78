#include "lib/console.h"

#include "cpu/io.h"

// 16550 at COM1. The line status is not polled for each byte: the ports of virtual machines are always ready,
// tsvmm gathers the written bytes without an exit, and one read of the status hands them over.
#define TRANSMIT 0x3f8
#define LINE_STATUS 0x3fd

#define LOCK_TRIES 100000000 // then the holder is stuck, and this line matters more

static volatile bool is_locked;

static void lock(void) {
  for (u32 tries = 0; __atomic_exchange_n(&is_locked, true, __ATOMIC_ACQUIRE) && tries < LOCK_TRIES; tries++)
    cpu_relax();
}

void console_write_line(const char *text, u32 length) {
  lock();
  port_write8_many(TRANSMIT, text, length);
  port_write8(TRANSMIT, '\n');
  port_read8(LINE_STATUS);
  __atomic_store_n(&is_locked, false, __ATOMIC_RELEASE);
}

void console_write_filler_byte(void) { port_write8(TRANSMIT, ' '); }

void console_write_filler_64(void) {
  static const char spaces[] = "                                                                ";
  port_write8_many(TRANSMIT, spaces, sizeof spaces - 1);
}
