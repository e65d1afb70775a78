// Measures what it costs to leave the guest, and some things that cost nearly as much. One line for each.
#include "cpu/gate.h"
#include "cpu/io.h"
#include "cpu/lapic.h"
#include "lib/console.h"
#include "lib/sort.h"
#include "virtio/devices.h"
#include "workloads/workload.h"

#define MEASURE_PORT 0xe4
#define SAMPLE_MAX 10000
#define CONSOLE_SAMPLES 32 // tsvmm gathers some 170 bytes, then there is an exit

struct exits {
  u64 samples;
  u32 next;
};

static u64 ticks[SAMPLE_MAX];
static const struct virtio_mmio *device; // whose registers are measured
static u32 notify_queue;

static void do_nothing(void) {}
static void do_pio_out(void) { port_write32(MEASURE_PORT, 1); }
static void do_pio_in(void) { port_read32(MEASURE_PORT); }
static void do_mmio_read(void) { virtio_mmio_read(device, VIRTIO_MMIO_MAGIC); }
static void do_notify(void) { virtio_mmio_write(device, VIRTIO_MMIO_QUEUE_NOTIFY, notify_queue); }

static const struct measurement {
  const char *name;
  void (*action)(void);
  bool needs_device;
  u32 sample_max;
} measurements[] = {
    {"nothing", do_nothing, false, SAMPLE_MAX},
    {"pio_exit", do_pio_out, false, SAMPLE_MAX},
    {"pio_in_exit", do_pio_in, false, SAMPLE_MAX},
    {"mmio_exit", do_mmio_read, true, SAMPLE_MAX},
    {"ioeventfd", do_notify, true, SAMPLE_MAX},
    {"gate", gate_nothing, false, SAMPLE_MAX},
    {"lapic_write", lapic_touch, false, SAMPLE_MAX},
    {"console_byte", console_write_filler_byte, false, CONSOLE_SAMPLES},
    {"console_64_bytes", console_write_filler_64, false, 1},
};

static const struct option options[] = {
    {"samples", OPTION_NUMBER, offsetof(struct exits, samples), false, 1000, 1, SAMPLE_MAX, NULL},
};

// A device whose queue may be notified without effect: the rng, else the transmit queue of a network card,
// else a disk.
static void start(struct workload *workload) {
  (void)workload;
  static const u32 ids[] = {VIRTIO_ID_RNG, VIRTIO_ID_NET, VIRTIO_ID_BLOCK};
  for (u32 i = 0; i < array_length(ids) && !device; i++) device = devices_find(ids[i], 0);
  notify_queue = device && device->device_id == VIRTIO_ID_NET ? 1 : 0;
}

static void measure(const struct measurement *measurement, u32 count) {
  for (u32 i = 0; i < count; i++) {
    u64 before = rdtsc_ordered();
    measurement->action();
    ticks[i] = rdtsc_ordered() - before;
  }
  sort_u64(ticks, count);
  struct json line;
  json_begin(&line, "measure");
  json_string(&line, "name", measurement->name);
  json_number(&line, "n", count);
  json_number(&line, "min_ns", clock_tsc_to_ns(ticks[0]));
  json_number(&line, "median_ns", clock_tsc_to_ns(ticks[count / 2]));
  json_number(&line, "p99_ns", clock_tsc_to_ns(ticks[count * 99ull / 100]));
  json_send(&line);
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  (void)now;
  struct exits *exits = workload->state;
  if (exits->next == array_length(measurements)) return TIME_NEVER;
  const struct measurement *measurement = &measurements[exits->next++];
  if (measurement->needs_device && !device) return RUN_AGAIN;
  measure(measurement, (u32)min_u64(exits->samples, measurement->sample_max));
  meter_add(&workload->meters[0], clock_now(cpu), 1);
  if (exits->next < array_length(measurements)) return RUN_AGAIN;
  struct json line;
  json_begin(&line, "measured");
  json_send(&line);
  return TIME_NEVER;
}

const struct workload_kind workload_exits = {
    .name = "exits",
    .options = options,
    .option_count = array_length(options),
    .state_size = sizeof(struct exits),
    .start = start,
    .run = run,
};
