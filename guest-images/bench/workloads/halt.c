// Every processor halts for good, without a timer: for tests that kick a sleeping vCPU.
#include "workloads/workload.h"

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  (void)workload, (void)cpu, (void)now;
  cpu_halt_forever();
}

const struct workload_kind workload_halt = {
    .name = "halt", .runs_everywhere = true, .runs_alone = true, .run = run};
