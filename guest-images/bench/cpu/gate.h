// The services of CPL0 (gates.S), callable from CPL3.
#pragma once
#include "cpu/layout.h"
#include "lib/types.h"

struct cpuid_result {
  u32 eax, ebx, ecx, edx;
};

static inline void gate_nothing(void) {
  u64 service = GATE_NOTHING;
  __asm__ volatile("call gate_call" : "+a"(service)::"memory", "cc");
}

// Writes to a device register (address 0: does not), starts the local APIC's timer (count 0: does not), opens
// interrupts and halts until one comes. Only its pending byte tells that it came.
static inline void gate_sleep(u32 timer_count, u64 register_address, u32 register_value) {
  u64 service = GATE_SLEEP;
  __asm__ volatile("call gate_call"
                   : "+a"(service)
                   : "S"(timer_count), "D"(register_address), "d"(register_value)
                   : "rcx", "memory", "cc");
}

static inline void gate_lapic_enable(u32 spurious_vector, u32 timer_vector, u32 timer_divide) {
  u64 service = GATE_LAPIC_ENABLE;
  __asm__ volatile("call gate_call"
                   : "+a"(service)
                   : "S"(spurious_vector), "D"(timer_vector), "d"(timer_divide)
                   : "rcx", "memory", "cc");
}

static inline void gate_write_msr(u32 msr, u64 value) {
  u64 service = GATE_WRITE_MSR;
  __asm__ volatile("call gate_call"
                   : "+a"(service)
                   : "c"(msr), "S"((u32)value), "d"((u32)(value >> 32))
                   : "memory", "cc");
}

// CPUID at CPL3 shows the host's leaves on PVM; here the VMM's are seen.
static inline struct cpuid_result gate_cpuid(u32 leaf) {
  u64 a = GATE_CPUID, b, c = 0, d;
  __asm__ volatile("call gate_call" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : "S"(leaf) : "memory", "cc");
  return (struct cpuid_result){(u32)a, (u32)b, (u32)c, (u32)d};
}

// The loop in gates.S: `count` pages, the first word of page i is first + i * step.
static inline void gate_store_pages(u64 address, u64 address_step, u64 first, u64 step, u64 multiplier,
                                    u32 count) {
  u64 service = GATE_STORE_PAGES, rcx = count;
  register u64 r8 __asm__("r8") = address_step;
  register u64 r9 __asm__("r9") = multiplier;
  __asm__ volatile("call gate_call"
                   : "+a"(service), "+D"(address), "+S"(first), "+c"(rcx)
                   : "d"(step), "r"(r8), "r"(r9)
                   : "memory", "cc");
}

// From now on interrupts are also taken at CPL3.
static inline void gate_interrupts_on(void) {
  u64 service = GATE_INTERRUPTS_ON;
  __asm__ volatile("call gate_call" : "+a"(service)::"memory", "cc");
}

static inline void gate_unknown_instruction(void) {
  u64 service = GATE_UNKNOWN_INSTRUCTION;
  __asm__ volatile("call gate_call" : "+a"(service)::"rcx", "memory", "cc");
}
