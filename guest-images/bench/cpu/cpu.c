#include "cpu/cpu.h"

#include "cpu/clock.h"
#include "cpu/gate.h"
#include "cpu/interrupts.h"
#include "cpu/lapic.h"
#include "cpu/posted_write.h"
#include "lib/string.h"

struct cpu cpus[CPU_COUNT_MAX];
u32 cpu_count = 1;

// Of boot.S and tables.S.
extern char ap_trampoline[], ap_trampoline_end[];
extern u8 task_states[CPU_COUNT_MAX][TSS_STRIDE];
extern u8 kernel_stacks[CPU_COUNT_MAX][KERNEL_STACK_BYTES];
extern u64 gdt[];

#define SECONDARY_START_LIMIT_NS 60000000000ull

static void prepare_task_state(u32 index) {
  u8 *state = task_states[index];
  u64 base = (u64)state;
  u64 stack_top = (u64)kernel_stacks[index + 1];
  u16 io_map_base = TSS_BYTES;
  memcpy(state + TSS_RSP0, &stack_top, sizeof stack_top);
  memcpy(state + TSS_IO_MAP_BASE, &io_map_base, sizeof io_map_base);
  state[TSS_LIMIT] = 0xff;
  if (index == 0) return; // boot.S has loaded its descriptor already
  u64 *descriptor = &gdt[(SELECTOR_TSS_FIRST + index * SELECTOR_TSS_STEP) / sizeof(u64)];
  descriptor[0] = (descriptor[0] & ~0xff0000ffffff0000) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
  descriptor[1] = base >> 32;
}

void cpu_prepare(void) { prepare_task_state(0); }

void cpu_start_secondaries(u32 count) {
  cpu_count = count;
  if (count == 1) return;
  memcpy((void *)AP_TRAMPOLINE, ap_trampoline, (u64)(ap_trampoline_end - ap_trampoline));
  for (u32 index = 1; index < count; index++) {
    prepare_task_state(index);
    cpus[index].index = index;
    lapic_start_processor(index, AP_TRAMPOLINE);
  }
}

bool cpu_wait_for_secondaries(void) {
  u64 limit = clock_now(&cpus[0]) + SECONDARY_START_LIMIT_NS;
  for (u32 index = 1; index < cpu_count; index++) {
    while (!*(volatile bool *)&cpus[index].is_running) {
      if (clock_now(&cpus[0]) > limit) return false;
      cpu_relax();
    }
  }
  return true;
}

void cpu_sleep(struct cpu *cpu, u64 now, u64 until) {
  if (until <= now) return;
  struct posted_write posted = cpu->index == 0 ? posted_write_take() : (struct posted_write){0, 0};
  gate_sleep(until == TIME_NEVER ? 0 : lapic_timer_plan(cpu, now, until), posted.address, posted.value);
}

void cpu_halt_forever(void) {
  for (;;) gate_sleep(0, 0, 0);
}
