#include "cpu/lapic.h"

#include "cpu/gate.h"
#include "cpu/interrupts.h"
#include "cpu/io.h"

// Registers (more in layout.h): Intel SDM vol. 3, table 11-1.
#define TASK_PRIORITY 0x080
#define COMMAND_LOW 0x300
#define COMMAND_HIGH 0x310

#define SOFTWARE_ENABLE 0x100
#define TIMER_PERIODIC 0x20000
#define DIVIDE_BY_1 0xb
#define COMMAND_INIT 0x4500
#define COMMAND_START_UP 0x4600

// The timer of KVM and of QEMU counts nanoseconds (measured; KVM's APIC_BUS_CYCLE_NS is 1).
#define TIMER_LONGEST_NS 4000000000ull
#define TIMER_SHORTEST_NS 1000

#define TICKS (~0ull) // timer_at of a periodic timer

static inline void lapic_write(u32 offset, u32 value) { mmio_write32(LAPIC_BASE + offset, value); }

static inline u8 timer_vector(const struct cpu *cpu) { return (u8)(VECTOR_TIMER_FIRST + cpu->index); }

void lapic_enable(const struct cpu *cpu) {
  gate_lapic_enable(SOFTWARE_ENABLE | VECTOR_SPURIOUS, timer_vector(cpu), DIVIDE_BY_1);
}

u32 lapic_timer_plan(struct cpu *cpu, u64 now, u64 until) {
  if (cpu->timer_at == TICKS) return 0;
  // The timer's clock is not exactly ours, so the interrupt itself tells whether it still runs.
  if (interrupt_pending[timer_vector(cpu)]) cpu->timer_at = 0;
  // A timer that ends earlier costs less when it is left alone: one needless wake-up at most.
  if (cpu->timer_at > now && cpu->timer_at <= until) return 0;
  interrupt_pending[timer_vector(cpu)] = 0;
  u64 wait = min_u64(max_u64(until - now, TIMER_SHORTEST_NS), TIMER_LONGEST_NS);
  cpu->timer_at = now + wait;
  return (u32)wait;
}

void lapic_timer_tick(struct cpu *cpu, u64 period_ns) {
  cpu->timer_at = TICKS;
  lapic_write(LAPIC_TIMER_VECTOR, TIMER_PERIODIC | timer_vector(cpu));
  lapic_write(LAPIC_TIMER_INITIAL_COUNT, (u32)min_u64(period_ns, TIMER_LONGEST_NS));
}

void lapic_start_processor(u32 apic_id, u32 address) {
  lapic_write(COMMAND_HIGH, apic_id << 24);
  lapic_write(COMMAND_LOW, COMMAND_INIT);
  lapic_write(COMMAND_HIGH, apic_id << 24);
  lapic_write(COMMAND_LOW, COMMAND_START_UP | address >> 12);
}

void lapic_touch(void) { lapic_write(TASK_PRIORITY, 0); }
