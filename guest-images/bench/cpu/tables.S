// Descriptor tables, page tables for the first 4 GiB, and the memory that CPL0 works with.
#include "layout.h"

#define PAGE_PRESENT 0x001
#define PAGE_WRITABLE 0x002
#define PAGE_USER 0x004
#define PAGE_UNCACHED 0x018 // PWT and PCD
#define PAGE_ACCESSED 0x020
#define PAGE_DIRTY 0x040
#define PAGE_LARGE 0x080
#define PAGE_TABLE (PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER | PAGE_ACCESSED)
#define PAGE_RAM (PAGE_TABLE | PAGE_DIRTY)

  .data
  .balign 4096
  .globl page_table_level4, page_table_level3
page_table_level4:
  .quad page_table_level3 + PAGE_TABLE
  .fill 511, 8, 0
page_table_level3: // paging.c adds what lies above 4 GiB
  .quad page_directories + PAGE_TABLE
  .quad page_directories + 0x1000 + PAGE_TABLE
  .quad page_directories + 0x2000 + PAGE_TABLE
  .quad page_directories + 0x3000 + PAGE_TABLE
  .fill 508, 8, 0
page_directories:
  .quad page_table_low + PAGE_TABLE
  .set address, 0x200000
  .rept 0xd0000000 / 0x200000 - 1
  .quad address + PAGE_RAM + PAGE_LARGE
  .set address, address + 0x200000
  .endr
  .rept (0x100000000 - 0xd0000000) / 0x200000 // device registers
  .quad address + PAGE_RAM + PAGE_LARGE + PAGE_UNCACHED
  .set address, address + 0x200000
  .endr
page_table_low: // the first 2 MiB in small pages: page 0 is missing, so that a null pointer faults
  .quad 0
  .set address, 0x1000
  .rept 511
  .quad address + PAGE_RAM
  .set address, address + 0x1000
  .endr

  .balign 16
  .globl gdt, gdt_pointer, idt_pointer
gdt:
  .quad 0
  .quad 0x00af9b000000ffff // SELECTOR_KERNEL_CODE, 64 bit
  .quad 0x00cf93000000ffff // SELECTOR_KERNEL_DATA
  .quad 0x00cf9b000000ffff // SELECTOR_KERNEL_CODE_32
  .quad 0x00cff3000000ffff // SELECTOR_USER_DATA
  .quad 0x00affb000000ffff // SELECTOR_USER_CODE, 64 bit
  .rept CPU_COUNT_MAX // one TSS for each processor, base still 0
  .quad 0x0000890000000000 + TSS_LIMIT
  .quad 0
  .endr
gdt_pointer:
  .word GDT_BYTES - 1
  .quad gdt
idt_pointer:
  .word 256 * 16 - 1
  .quad idt

  .balign 8
  .globl pvh_start_info, boot_tsc
pvh_start_info: .quad 0
boot_tsc: .quad 0

  .bss
  .balign 4096
  .globl idt, task_states, kernel_stacks, user_stacks, report_stack_top
idt: .skip 256 * 16
kernel_stacks: .skip CPU_COUNT_MAX * KERNEL_STACK_BYTES
user_stacks: .skip CPU_COUNT_MAX * USER_STACK_BYTES
  .skip REPORT_STACK_BYTES
report_stack_top:
task_states: .skip CPU_COUNT_MAX * TSS_STRIDE
