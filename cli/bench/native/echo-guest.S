// A guest that answers each interrupt of pin 5 with a write to a port, where an ioeventfd waits: to measure how long it
// takes from an irqfd to the guest and back. 32-bit protected mode, as PVH enters; it sleeps in between.
#define LAPIC 0xfee00000
#define LAPIC_SPURIOUS 0xf0
#define LAPIC_EOI 0xb0
#define IOAPIC 0xfec00000
#define PIC_MASTER_MASK 0x21
#define PIC_SLAVE_MASK 0xa1
#define PIN 5
#define VECTOR 0x40
#define ANSWER_PORT 0xe8
#define COM1 0x3f8

#include "pvh-note.h"

  .text
  .code32
  .globl start
start:
  movl $stack_end, %esp
  lgdt gdt_pointer
  ljmp $8, $1f
1:
  movw $16, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  // The gate's address in two halves, which no relocation can express.
  movl $interrupt, %eax
  movw %ax, gate
  shrl $16, %eax
  movw %ax, gate + 6
  lidt idt_pointer
  // Nothing of the old interrupt controllers, whose timer ticks.
  movb $0xff, %al
  outb %al, $PIC_MASTER_MASK
  outb %al, $PIC_SLAVE_MASK
  movl $(LAPIC + LAPIC_SPURIOUS), %ebx
  movl $0x1ff, (%ebx)
  // Redirection entry of the pin: edge, active high, to local APIC 0.
  movl $IOAPIC, %ebx
  movl $(0x10 + 2 * PIN), (%ebx)
  movl $VECTOR, 0x10(%ebx)
  movl $(0x11 + 2 * PIN), (%ebx)
  movl $0, 0x10(%ebx)
  movl $ready, %esi
  movl $(ready_end - ready), %ecx
  movw $COM1, %dx
  rep outsb
  movw $ANSWER_PORT, %dx
  movl $(LAPIC + LAPIC_EOI), %ebx
sleep:
  sti
1:
  hlt
  jmp 1b

// dx and ebx hold what it needs, as every instruction may cost half a microsecond. It drops its stack frame instead of
// returning by it: software KVMs do not know iret in protected mode.
interrupt:
  movl $0, (%ebx)
  outb %al, %dx
  movl $stack_end, %esp
  jmp sleep

  .data
ready:
  .ascii "{\"event\":\"ready\"}\n"
ready_end:
  .balign 8
gdt:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
  .word . - gdt - 1
  .long gdt
  .balign 8
idt:
  .fill VECTOR, 8, 0
gate:
  .word 0, 8, 0x8e00, 0
idt_pointer:
  .word . - idt - 1
  .long idt
  .bss
  .balign 16
  .skip 4096
stack_end:
