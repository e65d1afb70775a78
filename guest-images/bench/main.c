// The guest's life: prepare the machine, start the workloads, say so, run them.
#include "cpu/gate.h"
#include "cpu/interrupts.h"
#include "cpu/io.h"
#include "cpu/lapic.h"
#include "lib/fatal.h"
#include "lib/random.h"
#include "memory/memory.h"
#include "net/stack.h"
#include "report.h"
#include "scheduler.h"
#include "settings.h"
#include "virtio/devices.h"

_Noreturn void guest_main(void);
_Noreturn void secondary_main(u32 index);

static void start_tick(struct cpu *cpu) {
  if (settings.tick_hz == 0) return;
  lapic_timer_tick(cpu, NS_PER_S / settings.tick_hz);
  gate_interrupts_on();
}

// boot.S comes here on the first processor, at CPL3 with interrupts off.
void guest_main(void) {
  struct cpu *cpu = &cpus[0];
  interrupts_prepare();
  cpu_prepare();
  memory_prepare();
  clock_prepare();
  report_boot_step("clock_us");
  random_seed(rdtsc());
  settings_parse(memory_command_line());
  lapic_enable(cpu);
  cpu_start_secondaries((u32)settings.vcpus);
  report_boot_step("settings_us");
  devices_start();
  stack_start();
  report_boot_step("devices_us");
  scheduler_start_workloads();
  report_boot_step("workloads_us");
  if (!cpu_wait_for_secondaries()) fatal("not all of %lu vCPUs started", settings.vcpus);
  report_boot_step("vcpus_us");
  report_ready();
  start_tick(cpu);
  scheduler_run_first(cpu);
}

// boot.S comes here on every other processor.
void secondary_main(u32 index) {
  struct cpu *cpu = &cpus[index];
  lapic_enable(cpu);
  clock_prepare_secondary(cpu);
  *(volatile bool *)&cpu->is_running = true;
  start_tick(cpu);
  scheduler_run_secondary(cpu);
}
