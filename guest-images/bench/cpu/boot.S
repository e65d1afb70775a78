// Entry of the guest: from the PVH protocol (32-bit protected mode, paging off, ebx = hvm_start_info) to the C
// function guest_main at CPL3 in long mode. Code here is emulated at half a microsecond an instruction by
// software KVMs, so it does only what cannot be done at CPL3.
#include "layout.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18

  .section .note.PVH, "a", @note
  .long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
  .asciz "Xen"
  .quad pvh_entry

#define CR4_PAE (1 << 5)
#define CR4_OSFXSR (1 << 9)
#define CR4_OSXMMEXCPT (1 << 10)
#define CR4_BOOT (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)
#define CR0_BOOT 0x80010033 // PG WP NE ET MP PE
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

// Loads cr4, cr3, EFER and cr0 for long mode; the caller then jumps to a 64-bit code segment.
.macro ENTER_LONG_MODE
  movl $CR4_BOOT, %eax
  movl %eax, %cr4
  movl $page_table_level4, %eax
  movl %eax, %cr3
  movl $MSR_EFER, %ecx
  xorl %edx, %edx
  movl $EFER_LME, %eax
  wrmsr
  movl $CR0_BOOT, %eax
  movl %eax, %cr0
.endm

// Loads the data segments for CPL0 and CPL3 and the IDT.
.macro LOAD_SEGMENTS_AND_IDT
  movl $SELECTOR_KERNEL_DATA, %eax
  movl %eax, %ss
  movl $SELECTOR_USER_DATA, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %fs
  movl %eax, %gs
  lidt idt_pointer
.endm

// Leaves CPL0 for good: to `target` at CPL3, stack pointer in rcx, interrupts off.
.macro ENTER_CPL3 target
  pushq $SELECTOR_USER_DATA
  pushq %rcx
  pushq $USER_FLAGS
  pushq $SELECTOR_USER_CODE
  pushq $\target
  iretq
.endm

  .section .text.boot, "ax"
  .code32
  .globl pvh_entry
pvh_entry:
  movl %ebx, pvh_start_info
  rdtsc
  movl %eax, boot_tsc
  movl %edx, boot_tsc + 4
  lgdtl gdt_pointer
  ENTER_LONG_MODE
  ljmpl $SELECTOR_KERNEL_CODE, $boot_64

  .code64
boot_64:
  // The first processor's TSS. The bases of the others are filled in by C code (cpu.c).
  movl $task_states, %eax
  movw %ax, gdt + SELECTOR_TSS_FIRST + 2
  shrl $16, %eax
  movb %al, gdt + SELECTOR_TSS_FIRST + 4
  movb %ah, gdt + SELECTOR_TSS_FIRST + 7
  movq $kernel_stacks + KERNEL_STACK_BYTES, task_states + TSS_RSP0
  movw $TSS_BYTES, task_states + TSS_IO_MAP_BASE
  LOAD_SEGMENTS_AND_IDT
  movl $SELECTOR_TSS_FIRST, %eax
  ltr %ax
  movl $kernel_stacks + KERNEL_STACK_BYTES, %esp
  movl $user_stacks + USER_STACK_BYTES - 8, %ecx
  ENTER_CPL3 guest_main

// ---- Start of an application processor: this piece is copied to AP_TRAMPOLINE and runs in real mode. ----
  .code16
  .globl ap_trampoline, ap_trampoline_end
ap_trampoline:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  lgdtl AP_TRAMPOLINE + ap_gdt_pointer - ap_trampoline
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  ljmpl $SELECTOR_KERNEL_CODE_32, $ap_32
  .balign 8
ap_gdt_pointer:
  .word GDT_BYTES - 1
  .long gdt
ap_trampoline_end:

  .code32
ap_32:
  movl $SELECTOR_KERNEL_DATA, %eax
  movl %eax, %ds
  ENTER_LONG_MODE
  ljmpl $SELECTOR_KERNEL_CODE, $ap_64

  .code64
ap_64:
  // The processor's number is its local APIC id; it chooses TSS and stacks.
  movl $LAPIC_BASE + LAPIC_ID, %ecx
  movl (%rcx), %edi
  shrl $24, %edi
  cmpl $CPU_COUNT_MAX, %edi
  jae ap_refused
  LOAD_SEGMENTS_AND_IDT
  movl %edi, %eax
  shll $4, %eax
  addl $SELECTOR_TSS_FIRST, %eax
  ltr %ax
  leal 1(%rdi), %eax
  movl %eax, %ecx
  shll $KERNEL_STACK_SHIFT, %eax
  addl $kernel_stacks, %eax
  movl %eax, %esp
  shll $USER_STACK_SHIFT, %ecx
  addl $user_stacks - 8, %ecx
  ENTER_CPL3 secondary_main
ap_refused:
  hlt
  jmp ap_refused
