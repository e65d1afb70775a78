// What the processor runs at CPL0 on an interrupt or exception.
#include "layout.h"

  .text
// An interrupt sets its byte in interrupt_pending and ends at the local APIC; all else is the event loop's work.
// One that comes in gate_sleep (CPL0) returns to the frame that the gate kept in rcx.
  .balign INTERRUPT_STUB_BYTES
  .globl interrupt_stubs
interrupt_stubs:
  .set vector, VECTOR_TIMER_FIRST
  .rept VECTOR_PIN_FIRST + VECTOR_PIN_COUNT - VECTOR_TIMER_FIRST
  .balign INTERRUPT_STUB_BYTES
  movb $1, interrupt_pending + vector
  // movl $0, LAPIC_BASE + LAPIC_EOI: with an address-size prefix, as a plain disp32 would be sign-extended
  .byte 0x67, 0xc7, 0x04, 0x25
  .long LAPIC_BASE + LAPIC_EOI, 0
  testb $3, 8(%rsp)
  jz interrupt_from_sleep
  iretq
  .set vector, vector + 1
  .endr

  .balign 16
interrupt_from_sleep:
  movq %rcx, %rsp
  iretq

  .balign 16
  .globl interrupt_spurious
interrupt_spurious: // no EOI (Intel SDM vol. 3, 11.9)
  iretq

// ---- Exceptions: note what happened and go to exception_report (interrupts.c) at CPL3, on a stack of its own. ----
.macro EXCEPTION vector, has_error_code
  .balign EXCEPTION_STUB_BYTES
.if \vector == VECTOR_GENERAL_PROTECTION
  .globl exception_general_protection
exception_general_protection:
.endif
.if \has_error_code == 0
  pushq $0
.endif
  pushq $\vector
  jmp exception_common
.endm

  .balign EXCEPTION_STUB_BYTES
  .globl exception_stubs
exception_stubs:
  .set vector, 0
  .rept VECTOR_EXCEPTION_COUNT
  // 8 #DF, 10 #TS, 11 #NP, 12 #SS, 13 #GP, 14 #PF, 17 #AC, 21 #CP, 29 #VC, 30 #SX push an error code
  .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
    EXCEPTION vector, 1
  .else
    EXCEPTION vector, 0
  .endif
  .set vector, vector + 1
  .endr

exception_common:
  lock btsl $0, exception_taken // only the first processor to fault reports
  jc exception_halt
  popq exception_facts // vector
  popq exception_facts + 8 // error code
  movq (%rsp), %rax
  movq %rax, exception_facts + 16 // rip
  movq %cr2, %rax
  movq %rax, exception_facts + 24
  movq 24(%rsp), %rax
  movq %rax, exception_facts + 32 // rsp
  movq 8(%rsp), %rax
  movq %rax, exception_facts + 40 // cs
  pushq $SELECTOR_USER_DATA
  pushq $report_stack_top - 8
  pushq $USER_FLAGS
  pushq $SELECTOR_USER_CODE
  pushq $exception_report
  iretq
exception_halt:
  cli
  hlt
  jmp exception_halt

  .data
  .balign 64
  .globl interrupt_pending, exception_facts
interrupt_pending: .fill 256, 1, 0
exception_facts: .fill 6, 8, 0
exception_taken: .long 0
