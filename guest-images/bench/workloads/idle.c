// Does nothing: the guest halts but for its stat line.
#include "workloads/workload.h"

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  (void)workload, (void)cpu, (void)now;
  return TIME_NEVER;
}

const struct workload_kind workload_idle = {.name = "idle", .run = run};
