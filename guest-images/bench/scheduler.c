#include "scheduler.h"

#include "cpu/posted_write.h"
#include "events.h"
#include "net/stack.h"
#include "report.h"
#include "settings.h"

// Other processors wait for the word to go, so that a workload's start is complete before it runs.
static volatile bool is_started;

void scheduler_start_workloads(void) {
  for (u32 i = 0; i < settings.workload_count; i++) {
    struct workload *workload = &settings.workloads[i];
    if (workload->kind->start) workload->kind->start(workload);
  }
}

static u64 run_workloads(struct cpu *cpu) {
  u64 until = TIME_NEVER;
  for (u32 i = 0; i < settings.workload_count; i++) {
    struct workload *workload = &settings.workloads[i];
    if (cpu->index != 0 && !workload->kind->runs_everywhere) continue;
    until = min_u64(until, workload->kind->run(workload, cpu, clock_now(cpu)));
  }
  return until;
}

void scheduler_run_first(struct cpu *cpu) {
  u64 last_event_at = 0;
  is_started = true;
  for (;;) {
    if (events_poll()) last_event_at = clock_now(cpu);
    u64 until = run_workloads(cpu);
    until = min_u64(until, stack_run(clock_now(cpu)));
    until = min_u64(until, report_run(clock_now(cpu)));
    events_flush();
    u64 now = clock_now(cpu);
    bool is_worth_polling = settings.poll_us && now < last_event_at + settings.poll_us * NS_PER_US;
    if (until <= now || is_worth_polling || !events_before_sleep())
      posted_write_flush();
    else
      cpu_sleep(cpu, now, until);
  }
}

void scheduler_run_secondary(struct cpu *cpu) {
  while (!is_started) cpu_relax();
  for (;;) {
    u64 until = run_workloads(cpu);
    cpu_sleep(cpu, clock_now(cpu), until);
  }
}
