// Numbers that the assembly and the C code must agree on.
#pragma once

#define CPU_COUNT_MAX 16

// Segment selectors (the table is in tables.S). The user selectors are those that the PVM hypervisor was
// measured with; user segments carry RPL 3.
#define SELECTOR_KERNEL_CODE 0x08
#define SELECTOR_KERNEL_DATA 0x10
#define SELECTOR_KERNEL_CODE_32 0x18
#define SELECTOR_USER_DATA 0x23
#define SELECTOR_USER_CODE 0x2b
#define SELECTOR_TSS_FIRST 0x30
#define SELECTOR_TSS_STEP 0x10
#define GDT_BYTES (SELECTOR_TSS_FIRST + CPU_COUNT_MAX * SELECTOR_TSS_STEP)

// Task state segment (Intel SDM vol. 3, 8.7): 104 bytes, then one bit for each of the 65536 I/O ports, then a
// byte of ones that the processor may read beyond the end of the map.
#define TSS_RSP0 4
#define TSS_IO_MAP_BASE 102
#define TSS_BYTES 104
#define TSS_IO_MAP_BYTES 8192
#define TSS_STRIDE 8320 // room for one TSS with its map, a multiple of 64
#define TSS_LIMIT (TSS_BYTES + TSS_IO_MAP_BYTES)

// RFLAGS of CPL3 to begin with: bit 1, which is always set, and IOPL 3. Either IOPL or the map would do by the manuals, but
// a software KVM drops IOPL, and QEMU's emulated processor ignores the map of a busy task, which a restored one is.
#define USER_FLAGS 0x3002

#define KERNEL_STACK_BYTES 4096
#define KERNEL_STACK_SHIFT 12
#define USER_STACK_BYTES 65536
#define USER_STACK_SHIFT 16
#define REPORT_STACK_BYTES 16384

// Where an application processor starts in real mode: a page below 1 MiB, named by the start-up IPI.
#define AP_TRAMPOLINE 0x8000

#define LAPIC_BASE 0xfee00000
#define LAPIC_ID 0x020
#define LAPIC_EOI 0x0b0
#define LAPIC_SPURIOUS_VECTOR 0x0f0
#define LAPIC_TIMER_VECTOR 0x320
#define LAPIC_TIMER_INITIAL_COUNT 0x380
#define LAPIC_TIMER_DIVIDE 0x3e0

// Services of CPL0, by number (gates.S has the code, gate.h the C side).
#define GATE_NOTHING 0
#define GATE_SLEEP 1
#define GATE_WRITE_MSR 2
#define GATE_CPUID 3
#define GATE_STORE_PAGES 4
#define GATE_INTERRUPTS_ON 5
#define GATE_UNKNOWN_INSTRUCTION 6
#define GATE_LAPIC_ENABLE 7

// Interrupt vectors. The timer of processor n is delivered at VECTOR_TIMER_FIRST + n, pin n of the I/O APIC
// at VECTOR_PIN_FIRST + n.
#define VECTOR_GENERAL_PROTECTION 13
#define VECTOR_EXCEPTION_COUNT 32
#define VECTOR_TIMER_FIRST 0x20
#define VECTOR_PIN_FIRST 0x30
#define VECTOR_PIN_COUNT 48
#define VECTOR_SPURIOUS 0xff
#define INTERRUPT_STUB_BYTES 64
#define EXCEPTION_STUB_BYTES 16
