// The services of CPL0. C code at CPL3 calls gate_call with the service's number in rax; its `hlt` raises #GP,
// the only way from CPL3 to CPL0 that software KVMs, hardware and snapshots all treat alike: `int n` is #UD
// there, `syscall` stays at CPL3, and a snapshot can lose an int3 or int $4.
//
// On the CPL0 stack, from the top: error code (0), rip, cs, rflags, rsp, ss.
// A service may change rax, rcx, rdx, rsi, rdi and what gate.h says. It ends with iretq.
#include "layout.h"

  .text
  .balign 16
  .globl gate_call
gate_call: // may only be reached by the wrappers in gate.h: rax is one of the numbers of layout.h
gate_instruction:
  hlt
  ret

  .balign 16
  .globl general_protection
general_protection:
  cmpq $gate_instruction, 8(%rsp) // a #GP from anywhere else is a real one
  jne exception_general_protection
  addq $8, %rsp
  incq (%rsp) // continue behind the hlt
  jmp *gate_services(,%rax,8)

gate_nothing:
  iretq

// Sleep until an interrupt. First write edx to the device register at rdi (0 = none) and start the timer with the count
// esi (0 = leave it alone): from here these cost a software KVM far less than exits from CPL3.
// Interrupts are open only here (and at CPL3 if the word `tick=` asked for it). The stub in interrupts.S returns
// straight to CPL3: it takes the frame from rcx, so it does not matter whether the interrupt comes before or after
// the hlt.
gate_sleep:
  testq %rdi, %rdi
  jz start_timer
  movl %edx, (%rdi)
start_timer:
  testl %esi, %esi
  jz sleep
  movl $LAPIC_BASE + LAPIC_TIMER_INITIAL_COUNT, %ecx
  movl %esi, (%rcx)
sleep:
  movq %rsp, %rcx
  sti
  hlt
  cli
  iretq

gate_write_msr: // ecx = register, esi = low half, edx = high half
  movl %esi, %eax
  wrmsr
  iretq

gate_cpuid: // esi = leaf, ecx = subleaf; results in eax, ebx, ecx, edx
  movl %esi, %eax
  cpuid
  iretq

// Stores from CPL0, for the workload `dirty style=kernel`: rdi = first address, rsi = first word, rdx = what to
// add to rsi for each page, ecx = number of pages, r8 = what to add to rdi for each page, r9 = multiplier of the
// second word. The words are those of page_stamp.h.
gate_store_pages:
  movq %rsi, (%rdi)
  movq %rsi, %rax
  imulq %r9, %rax
  notq %rax
  movq %rax, 8(%rdi)
  addq %r8, %rdi
  addq %rdx, %rsi
  decl %ecx
  jnz gate_store_pages
  iretq

gate_interrupts_on:
  orl $0x200, 16(%rsp)
  iretq

// An instruction that KVM's emulator does not know: a software KVM ends with KVM_EXIT_INTERNAL_ERROR, hardware
// just executes it.
gate_unknown_instruction:
  popcnt %rcx, %rcx
  iretq

gate_lapic_enable: // esi = spurious vector register, edi = timer's vector register, edx = timer's divide register
  movl $LAPIC_BASE, %ecx
  movl %esi, LAPIC_SPURIOUS_VECTOR(%rcx)
  movl %edx, LAPIC_TIMER_DIVIDE(%rcx)
  movl %edi, LAPIC_TIMER_VECTOR(%rcx)
  iretq

  .section .rodata
  .balign 8
gate_services: // in the order of the numbers in layout.h
  .quad gate_nothing
  .quad gate_sleep
  .quad gate_write_msr
  .quad gate_cpuid
  .quad gate_store_pages
  .quad gate_interrupts_on
  .quad gate_unknown_instruction
  .quad gate_lapic_enable
