#include "cpu/interrupts.h"

#include "cpu/io.h"
#include "lib/fatal.h"

#define IO_APIC_BASE 0xfec00000
#define IO_APIC_STEP 0x10000 // QEMU's microvm has a second one there
#define IO_APIC_PIN_COUNT 24
#define IO_APIC_SELECT 0x00
#define IO_APIC_WINDOW 0x10
#define IO_APIC_REDIRECTION 0x10

#define IDT_PRESENT_INTERRUPT_GATE 0x8e00 // DPL 0: `int n` at CPL3 must not get here

extern struct {
  u16 offset_0, selector, type, offset_16;
  u32 offset_32, reserved;
} idt[256];
extern char interrupt_stubs[], exception_stubs[], interrupt_spurious[], general_protection[];
extern u64 exception_facts[6];

static void set_vector(u32 vector, const char *handler) {
  u64 address = (u64)handler;
  idt[vector].offset_0 = (u16)address;
  idt[vector].selector = SELECTOR_KERNEL_CODE;
  idt[vector].type = IDT_PRESENT_INTERRUPT_GATE;
  idt[vector].offset_16 = (u16)(address >> 16);
  idt[vector].offset_32 = (u32)(address >> 32);
}

void interrupts_prepare(void) {
  for (u32 vector = 0; vector < VECTOR_EXCEPTION_COUNT; vector++)
    set_vector(vector, exception_stubs + vector * EXCEPTION_STUB_BYTES);
  set_vector(VECTOR_GENERAL_PROTECTION, general_protection);
  for (u32 vector = VECTOR_TIMER_FIRST; vector < VECTOR_PIN_FIRST + VECTOR_PIN_COUNT; vector++)
    set_vector(vector, interrupt_stubs + (vector - VECTOR_TIMER_FIRST) * INTERRUPT_STUB_BYTES);
  for (u32 vector = VECTOR_PIN_FIRST + VECTOR_PIN_COUNT; vector < array_length(idt); vector++)
    set_vector(vector, interrupt_spurious);
}

u8 interrupts_enable_pin(u32 pin) {
  if (pin >= VECTOR_PIN_COUNT) fatal("interrupt pin %u is not supported", pin);
  u64 base = IO_APIC_BASE + pin / IO_APIC_PIN_COUNT * IO_APIC_STEP;
  u32 entry = IO_APIC_REDIRECTION + 2 * (pin % IO_APIC_PIN_COUNT);
  u8 vector = (u8)(VECTOR_PIN_FIRST + pin);
  mmio_write32(base + IO_APIC_SELECT, entry + 1);
  mmio_write32(base + IO_APIC_WINDOW, 0); // to local APIC 0
  mmio_write32(base + IO_APIC_SELECT, entry);
  mmio_write32(base + IO_APIC_WINDOW, vector); // fixed, edge, active high, not masked
  return vector;
}

// interrupts.S comes here at CPL3 after an exception that is not a gate.
_Noreturn void exception_report(void);
_Noreturn void exception_report(void) {
  fatal("exception %lu at rip 0x%lx, error code 0x%lx, cr2 0x%lx, rsp 0x%lx, cs 0x%lx", exception_facts[0],
        exception_facts[2], exception_facts[1], exception_facts[3], exception_facts[4], exception_facts[5]);
}
