#include "cpu/posted_write.h"

#include "cpu/io.h"

static struct posted_write waiting;

void posted_write(u64 address, u32 value) {
  posted_write_flush();
  waiting = (struct posted_write){address, value};
}

struct posted_write posted_write_take(void) {
  struct posted_write taken = waiting;
  waiting.address = 0;
  return taken;
}

void posted_write_flush(void) {
  struct posted_write write = posted_write_take();
  if (write.address) mmio_write32(write.address, write.value);
}
