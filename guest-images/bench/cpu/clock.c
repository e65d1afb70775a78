#include "cpu/clock.h"

#include "cpu/gate.h"
#include "cpu/io.h"
#include "lib/string.h"

#define CPUID_HYPERVISOR 0x40000000
#define CPUID_KVM_FEATURES 0x40000001
#define CPUID_FREQUENCIES 0x40000010 // eax = TSC kHz
#define KVM_FEATURE_CLOCKSOURCE2 (1u << 3)
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01

#define PIT_CHANNEL_0 0x40
#define PIT_COMMAND 0x43
#define PIT_HZ 1193182ull
#define PIT_CALIBRATION_TICKS 11932 // 10 ms

// What KVM keeps up to date in memory (Linux, Documentation/virt/kvm/x86/msr.rst).
struct pvclock {
  u32 version; // odd while KVM writes
  u32 reserved;
  u64 tsc_timestamp, system_time;
  u32 tsc_to_system_mul;
  s8 tsc_shift;
  u8 flags;
  u8 reserved2[2];
} __attribute__((aligned(64)));

extern u64 boot_tsc; // boot.S: at the first instruction

// One page for all processors: KVM itself writes it, so a snapshot has to save it early.
static volatile struct pvclock pvclocks[CPU_COUNT_MAX] __attribute__((aligned(4096)));
static bool is_kvmclock;
static u64 tsc_khz;
static u64 boot_time; // kvmclock at boot_tsc

static inline u64 multiply_shift_32(u64 value, u64 multiplier) {
  return (u64)(((unsigned __int128)value * multiplier) >> 32);
}

static u64 pvclock_at(const volatile struct pvclock *clock, u64 tsc_of_call, bool is_now) {
  for (;;) {
    u32 version = clock->version;
    compiler_barrier();
    u64 tsc = is_now ? rdtsc_ordered() : tsc_of_call;
    bool is_before = tsc < clock->tsc_timestamp;
    u64 delta = is_before ? clock->tsc_timestamp - tsc : tsc - clock->tsc_timestamp;
    s8 shift = clock->tsc_shift;
    delta = shift < 0 ? delta >> -shift : delta << shift;
    u64 elapsed = multiply_shift_32(delta, clock->tsc_to_system_mul);
    u64 time = is_before ? clock->system_time - elapsed : clock->system_time + elapsed;
    compiler_barrier();
    if (!(version & 1) && version == clock->version) return time;
    cpu_relax();
  }
}

u64 clock_tsc_to_ns(u64 ticks) { return multiply_shift_32(ticks, (NS_PER_MS << 32) / tsc_khz); }

u64 clock_now(struct cpu *cpu) {
  u64 time = is_kvmclock ? pvclock_at(&pvclocks[cpu->index], 0, true) - boot_time
                         : clock_tsc_to_ns(rdtsc_ordered() - boot_tsc);
  time += cpu->clock_offset;
  if ((s64)(time - cpu->clock_last) < 0) { // the TSC went back: another host, without kvmclock
    cpu->clock_offset += cpu->clock_last - time;
    time = cpu->clock_last;
  }
  cpu->clock_last = time;
  return time;
}

static u16 pit_count(void) {
  port_write8(PIT_COMMAND, 0); // latch channel 0
  u8 low = port_read8(PIT_CHANNEL_0);
  return (u16)(low | port_read8(PIT_CHANNEL_0) << 8);
}

static u64 pit_measure_tsc_khz(void) {
  port_write8(PIT_COMMAND, 0x34); // channel 0, both bytes, rate generator from 65536
  port_write8(PIT_CHANNEL_0, 0);
  port_write8(PIT_CHANNEL_0, 0);
  u16 first = pit_count(), elapsed;
  u64 start = rdtsc_ordered();
  do elapsed = (u16)(first - pit_count());
  while (elapsed < PIT_CALIBRATION_TICKS);
  return (rdtsc_ordered() - start) * PIT_HZ / elapsed / 1000;
}

static u64 pvclock_tsc_khz(const volatile struct pvclock *clock) {
  u64 khz = (NS_PER_MS << 32) / clock->tsc_to_system_mul;
  return clock->tsc_shift < 0 ? khz << -clock->tsc_shift : khz >> clock->tsc_shift;
}

static void enable_kvmclock(u32 index) { gate_write_msr(MSR_KVM_SYSTEM_TIME_NEW, (u64)&pvclocks[index] | 1); }

void clock_prepare(void) {
  struct cpuid_result hypervisor = gate_cpuid(CPUID_HYPERVISOR);
  bool is_kvm = hypervisor.ebx == 0x4b4d564b && hypervisor.ecx == 0x564b4d56; // "KVMKVMKVM"
  if (is_kvm && gate_cpuid(CPUID_KVM_FEATURES).eax & KVM_FEATURE_CLOCKSOURCE2) {
    enable_kvmclock(0);
    is_kvmclock = pvclocks[0].tsc_to_system_mul != 0;
  }
  if (is_kvmclock) {
    boot_time = pvclock_at(&pvclocks[0], boot_tsc, false);
    tsc_khz = pvclock_tsc_khz(&pvclocks[0]);
    return;
  }
  if (hypervisor.eax >= CPUID_FREQUENCIES) tsc_khz = gate_cpuid(CPUID_FREQUENCIES).eax;
  if (tsc_khz == 0) tsc_khz = pit_measure_tsc_khz();
}

void clock_prepare_secondary(struct cpu *cpu) {
  if (is_kvmclock) enable_kvmclock(cpu->index);
}

const char *clock_source(void) { return is_kvmclock ? "kvmclock" : "tsc"; }
