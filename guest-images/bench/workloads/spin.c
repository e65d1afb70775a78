// Every processor loops at CPL3 for good and never touches memory: for tests that kick a running vCPU.
#include "workloads/workload.h"

_Noreturn static void spin(void) {
  for (;;) compiler_barrier();
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  (void)workload, (void)cpu, (void)now;
  spin();
}

const struct workload_kind workload_spin = {
    .name = "spin", .runs_everywhere = true, .runs_alone = true, .run = run};
