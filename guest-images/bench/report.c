#include "report.h"

#include "cpu/power.h"
#include "memory/memory.h"
#include "settings.h"

#define BOOT_STEP_MAX 16

static struct {
  const char *name;
  u64 at;
} boot_steps[BOOT_STEP_MAX];
static u32 boot_step_count;

static u64 stat_at, run_ends_at = TIME_NEVER;

// Multiples of the period, so that stat lines coincide with what else is done on whole seconds.
static u64 next_stat(u64 now) {
  u64 period = settings.stat_ms * NS_PER_MS;
  return period ? (now / period + 1) * period : TIME_NEVER;
}

void report_boot_step(const char *name) {
  if (boot_step_count == BOOT_STEP_MAX) return;
  boot_steps[boot_step_count].name = name;
  boot_steps[boot_step_count++].at = clock_now(&cpus[0]);
}

static void report_boot(void) {
  struct json line;
  json_begin(&line, "boot");
  for (u32 i = 0; i < boot_step_count; i++)
    json_number(&line, boot_steps[i].name, boot_steps[i].at / NS_PER_US);
  json_send(&line);
}

void report_ready(void) {
  u64 now = clock_now(&cpus[0]);
  struct json line;
  json_begin(&line, "ready");
  json_number(&line, "t_us", now / NS_PER_US);
  if (*settings.vm_name) json_string(&line, "vm", settings.vm_name);
  json_array_open(&line, "workloads");
  for (u32 i = 0; i < settings.workload_count; i++) json_array_add(&line, settings.workloads[i].kind->name);
  json_array_close(&line);
  json_number(&line, "vcpus", cpu_count);
  json_number(&line, "memory_bytes", memory_total_bytes());
  json_string(&line, "clock", clock_source());
  json_send(&line);
  if (settings.shows_boot) report_boot();
  now = clock_now(&cpus[0]);
  stat_at = next_stat(now);
  if (settings.run_seconds) run_ends_at = now + settings.run_seconds * NS_PER_S;
}

static void report_workload(struct workload *workload, u64 now) {
  u64 operations = 0, gap = 0;
  for (u32 i = 0; i < cpu_count; i++) {
    operations += __atomic_load_n(&workload->meters[i].operations, __ATOMIC_RELAXED);
    gap = max_u64(gap, meter_take_gap(&workload->meters[i], now));
  }
  struct json line;
  json_begin(&line, "stat");
  json_number(&line, "t_ms", now / NS_PER_MS);
  json_string(&line, "workload", workload->kind->name);
  json_number(&line, "ops", operations);
  json_number(&line, "errors", workload->errors);
  json_number(&line, "gap_us_max", gap / NS_PER_US);
  json_number(&line, "retransmits", workload->retransmits);
  if (workload->kind->report) workload->kind->report(workload, &line);
  json_send(&line);
}

static void report_all(u64 now) {
  for (u32 i = 0; i < settings.workload_count; i++) report_workload(&settings.workloads[i], now);
}

static void end_run(u64 now) {
  report_all(now);
  struct json line;
  json_begin(&line, "done");
  json_number(&line, "t_ms", now / NS_PER_MS);
  json_send(&line);
  power_off();
}

u64 report_run(u64 now) {
  if (now >= run_ends_at) end_run(now);
  if (now >= stat_at) {
    report_all(now);
    stat_at = next_stat(now);
  }
  return min_u64(stat_at, run_ends_at);
}
