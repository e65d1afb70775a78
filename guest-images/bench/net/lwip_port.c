// What lwIP asks of its platform.
#include "cpu/clock.h"
#include "lib/fatal.h"
#include "lib/parse.h"
#include "lib/random.h"
#include <stdlib.h>
#include "lwip/arch.h"
#include "lwip/sys.h"

u32_t sys_now(void) { return (u32_t)(clock_now(&cpus[0]) / NS_PER_MS); }

u32_t lwip_port_random(void) { return (u32_t)random_u64(); }

void lwip_port_message(const char *format, ...) { (void)format; } // assertions tell what matters

void lwip_port_assertion_failed(const char *message, const char *file, int line) {
  fatal("lwIP: %s (%s, line %d)", message, file, line);
}

// For netif_find, which nobody calls.
int atoi(const char *text) {
  u64 value = 0;
  parse_number(&text, &value);
  return (int)value;
}
