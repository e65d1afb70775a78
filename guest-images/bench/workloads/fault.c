// Does one thing that a VMM must cope with, and says if it survived.
#include "cpu/gate.h"
#include "cpu/io.h"
#include "cpu/power.h"
#include "workloads/workload.h"

#define UNASSIGNED_PORT 0x5f00
#define UNASSIGNED_ADDRESS 0xe8000000

enum fault_kind { FAULT_TRIPLE, FAULT_UD, FAULT_NULL, FAULT_UNKNOWN, FAULT_PORT, FAULT_MMIO };
static const char *const kinds[] = {"triple", "ud", "null", "unknown", "port", "mmio", NULL};

struct fault {
  u64 kind, after_ms;
  u64 due_at;
  bool is_done;
};

static const struct option options[] = {
    {"kind", OPTION_CHOICE, offsetof(struct fault, kind), false, FAULT_TRIPLE, 0, 0, kinds},
    {"after", OPTION_NUMBER, offsetof(struct fault, after_ms), false, 0, 0, 3600000, NULL},
};

static void do_fault(enum fault_kind kind) {
  switch (kind) {
    case FAULT_TRIPLE: triple_fault();
    case FAULT_UD: __asm__ volatile("ud2"); break;
    case FAULT_NULL: __asm__ volatile("movl 0, %%eax" ::: "rax", "memory"); break;
    case FAULT_UNKNOWN: gate_unknown_instruction(); break;
    case FAULT_PORT:
      port_write32(UNASSIGNED_PORT, 1);
      port_read32(UNASSIGNED_PORT);
      break;
    case FAULT_MMIO:
      mmio_write32(UNASSIGNED_ADDRESS, 1);
      mmio_read32(UNASSIGNED_ADDRESS);
      break;
  }
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  (void)cpu;
  struct fault *fault = workload->state;
  if (fault->is_done) return TIME_NEVER;
  if (fault->due_at == 0) fault->due_at = now + fault->after_ms * NS_PER_MS;
  if (now < fault->due_at) return fault->due_at;
  fault->is_done = true;
  struct json line;
  json_begin(&line, "fault");
  json_string(&line, "kind", kinds[fault->kind]);
  json_send(&line);
  do_fault(fault->kind);
  json_begin(&line, "survived");
  json_string(&line, "kind", kinds[fault->kind]);
  json_send(&line);
  meter_add(&workload->meters[0], now, 1);
  return TIME_NEVER;
}

const struct workload_kind workload_fault = {
    .name = "fault",
    .options = options,
    .option_count = array_length(options),
    .state_size = sizeof(struct fault),
    .run = run,
};
