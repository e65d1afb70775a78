// A guest that is never in the same pages for long: visit after visit its code, its stack, the page table that it looks
// through, its data and the stack of its interrupts lie in others. All of these it writes, and checks that they hold what
// was written in the visit before. A timer interrupts it as often as KVM lets timers do.
//
// Long mode; all but interrupts at CPL3, which software KVMs run natively. With -DBARE accessed and dirty bits are cleared
// all the time, and interrupts come in onto stacks that nobody has written: what a KVM in software cannot have
// over memory protected by mprotect (docs/operand-decoder.md), others can.
#define COM1 0x3f8
#define LAPIC 0xfee00000
#define LAPIC_EOI 0x0b0
#define LAPIC_SPURIOUS 0x0f0
#define LAPIC_TIMER 0x320
#define LAPIC_TIMER_COUNT 0x380
#define LAPIC_TIMER_DIVIDE 0x3e0
#define TIMER_VECTOR 0x20
#define TIMER_PERIODIC 0x20000
#define TICK_NS 200000 // kvm.min_timer_period_us

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_DATA 0x23
#define USER_CODE 0x2b
#define TSS 0x30
#define TSS_BYTES 104
#define IO_MAP_BYTES 8192
// Ports are for everybody: by IOPL 3, and by the map, since a KVM in software does not go by IOPL, and QEMU's emulated
// AMD processor not by the map once KVM has loaded the task register.
#define USER_FLAGS 0x3002

#define PAGE_TABLE 0x027 // present, writable, user, accessed
#define PAGE_RAM 0x067 // dirty, too
#define PAGE_LARGE 0x080
#define PAGE_UNCACHED 0x018

#define STATIONS 0x400000
#define STATION_COUNT 64
#define STATION_BYTES 0x45000 // in chunks of any size, the stations begin in different places
// The pages of a station.
#define CODE 0x0000
#define CODE_NOTE 0x0ff8
#define STACK_TOP 0x2000
#define TABLE 0x2000
#define DATA 0x3000
#define KERNEL_STACK 0x4000
#define KERNEL_STACK_TOP 0x5000
#ifdef BARE
#define TICKS_NOTE 0x5000
#else
#define TICKS_NOTE KERNEL_STACK // writing it is what makes the page ready for interrupts
#endif
// Station n's data is looked at here + n * 2 MiB, through the station's own page table.
#define WINDOWS 0x100000000

#define PUSHES 400
#define LAPS_PER_LINE 0x400

#include "../../../../cli/bench/native/pvh-note.h"

  .text
  .code32
  .globl start
start:
  lgdtl gdt_pointer
  movl $0x620, %eax // PAE, OSFXSR, OSXMMEXCPT
  movl %eax, %cr4
  movl $level4, %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx // EFER: LME
  xorl %edx, %edx
  movl $0x100, %eax
  wrmsr
  movl $0x80010033, %eax // PG WP NE ET MP PE
  movl %eax, %cr0
  ljmpl $KERNEL_CODE, $start_64

  .code64
start_64:
  movl $KERNEL_DATA, %eax
  movl %eax, %ss
  movl $USER_DATA, %eax
  movl %eax, %ds
  movl %eax, %es
  movl $tss, %eax
  movw %ax, gdt + TSS + 2
  shrl $16, %eax
  movb %al, gdt + TSS + 4
  movw $TSS_BYTES, tss + 102
  movq $STATIONS + KERNEL_STACK_TOP, tss + 4
  lidt idt_pointer
  movl $TSS, %eax
  ltr %ax
  movl $STATIONS + KERNEL_STACK_TOP, %esp
  // The gates at CPL0, in which every instruction may take long: the rest is set up at CPL3.
  pushq $USER_DATA
  pushq $0
  pushq $USER_FLAGS
  pushq $USER_CODE
  pushq $set_up
  iretq

// rdi: the gate's number; rsi: its handler. Uses rax.
set_gate:
  shlq $4, %rdi
  addq $idt, %rdi
  movq %rsi, %rax
  movw %ax, (%rdi)
  movw $KERNEL_CODE, 2(%rdi)
  movw $0x8e00, 4(%rdi)
  shrq $16, %rax
  movw %ax, 6(%rdi)
  jmp *%rcx

set_up:
  xorl %ebx, %ebx
1:
  movl %ebx, %edi
  movl %ebx, %esi
  shll $4, %esi
  addl $exceptions, %esi
  movl $2f, %ecx
  jmp set_gate
2:
  incl %ebx
  cmpl $32, %ebx
  jb 1b
  movl $TIMER_VECTOR, %edi
  movl $timer, %esi
  movl $3f, %ecx
  jmp set_gate
3:
  // The stations.
  xorl %r12d, %r12d
  movl $STATIONS, %ebx
4:
  leaq CODE(%rbx), %rdi
  movl $visit, %esi
  movl $visit_end - visit, %ecx
  rep movsb
  leaq DATA + PAGE_RAM(%rbx), %rax
  movq %rax, TABLE(%rbx)
  leaq TABLE + PAGE_TABLE(%rbx), %rax
  movq %rax, windows(,%r12,8)
  addq $STATION_BYTES, %rbx
  incl %r12d
  cmpl $STATION_COUNT, %r12d
  jb 4b
  // To CPL0 once more, for the timer and to come back with interrupts open: #GP.
  movl $general_protection, %esi
  movl $13, %edi
  movl $5f, %ecx
  jmp set_gate
5:
  hlt

general_protection:
  addq $8, %rsp
  movl $LAPIC, %ebx
  movl $0x1ff, LAPIC_SPURIOUS(%rbx)
  movl $0xb, LAPIC_TIMER_DIVIDE(%rbx)
  movl $TIMER_PERIODIC | TIMER_VECTOR, LAPIC_TIMER(%rbx)
  movl $TICK_NS, LAPIC_TIMER_COUNT(%rbx)
  movq $exceptions + 13 * 16, %rax
  movw %ax, idt + 13 * 16
  shrl $16, %eax
  movw %ax, idt + 13 * 16 + 6
  movq $wander, (%rsp)
  orl $0x200, 16(%rsp)
  iretq

// r13: the number of the lap, which all that is written says.
wander:
  movl $1, %r13d
lap:
  xorl %r12d, %r12d
  movl $STATIONS, %ebx
  movabsq $WINDOWS, %rsi
next_station:
  leaq STACK_TOP(%rbx), %rsp
  movq %rbx, %rax
  movl $'?', %r14d
  call *%rax
  addq $STATION_BYTES, %rbx
  addq $0x200000, %rsi
  incl %r12d
  cmpl $STATION_COUNT, %r12d
  jb next_station
  testl $LAPS_PER_LINE - 1, %r13d
  jnz 1f
  call say
1:
  incq %r13
  jmp lap

// Copied to every station. rbx: the station, rsi: its window, r13: the lap; r14: what was looked at last.
visit:
  movl $lost, %r15d
  leaq -1(%r13), %rdx
  movb $'c', %r14b
  cmpq %rdx, CODE_NOTE(%rbx)
  jne visit_lost
  movb $'t', %r14b
  leaq (%rdx,%rdx), %rax // bit 0 is clear: no page
  cmpq %rax, TABLE + 8(%rbx)
  jne visit_lost
  movb $'d', %r14b
  cmpq %rdx, (%rsi)
  jne visit_lost
  movl $PUSHES, %ecx
1:
  leaq (%r13,%rcx), %rax
  pushq %rax
  decl %ecx
  jnz 1b
  movq %r13, CODE_NOTE(%rbx)
  leaq (%r13,%r13), %rax
  movq %rax, TABLE + 8(%rbx)
#ifdef BARE
  andq $~0x60, TABLE(%rbx) // not accessed, not dirty
#endif
  movq %r13, (%rsi)
  lock incq 8(%rsi)
  movb $'s', %r14b
  movl $1, %ecx
2:
  popq %rax
  leaq (%r13,%rcx), %rdx
  cmpq %rax, %rdx
  jne visit_lost
  incl %ecx
  cmpl $PUSHES, %ecx
  jbe 2b
  movb $'a', %r14b
  cmpq 8(%rsi), %r13
  jne visit_lost
  ret
visit_lost:
  jmp *%r15
visit_end:

// The next interrupt comes in at the next station. How many there were is handed on from station to station.
timer:
  pushq %rax
  pushq %rbx
  pushq %rcx
  movq place, %rax
  imulq $STATION_BYTES, %rax, %rbx
  movq STATIONS + TICKS_NOTE(%rbx), %rcx
  cmpq %rcx, ticks
  jne lost_tick
  addq $1, %rcx
  movq %rcx, ticks
  addq $1, %rax
  cmpq $STATION_COUNT, %rax
  jb 1f
  xorl %eax, %eax
1:
  movq %rax, place
  imulq $STATION_BYTES, %rax, %rbx
  leaq STATIONS + KERNEL_STACK_TOP(%rbx), %rax
  movq %rax, tss + 4
  movq %rcx, STATIONS + TICKS_NOTE(%rbx)
#ifdef BARE
  // Now and then the processor forgets its translations, and sets the bits that `visit` has cleared.
  cmpq $0, place
  jne 2f
  movq %cr3, %rax
  movq %rax, %cr3
2:
#endif
  movl $LAPIC, %ebx
  movl $0, LAPIC_EOI(%rbx)
  popq %rcx
  popq %rbx
  popq %rax
  iretq

lost_tick:
  movb $'i', %r14b
lost:
  movl $fatal_text, %edi
  movb %r14b, fatal_reason
  movl $2f, %r8d
  jmp print
2:
  jmp 2b

  .balign 16
exceptions:
  .set vector, 0
  .rept 32
  .balign 16
  pushq $vector
  jmp exception
  .set vector, vector + 1
  .endr
// What is above the vector is told as it is: with an error code or without, rip is among it.
exception:
  popq %rax
  movl $vector_digits, %edi
  movl $1f, %r8d
  jmp hex
1:
  popq %rax
  movl $frame_digits, %edi
  movl $2f, %r8d
  jmp hex
2:
  popq %rax
  movl $frame_more_digits, %edi
  movl $3f, %r8d
  jmp hex
3:
  movq %cr2, %rax
  movl $address_digits, %edi
  movl $4f, %r8d
  jmp hex
4:
  movb $'x', %r14b
  jmp lost

// Uses rax, rcx, rdx, rdi, r8, r9.
say:
  movq %r13, %rax
  movl $laps_digits, %edi
  movl $1f, %r8d
  jmp hex
1:
  movq ticks, %rax
  movl $ticks_digits, %edi
  movl $2f, %r8d
  jmp hex
2:
  movl $stat_text, %edi
  movl $3f, %r8d
  jmp print
3:
  ret

// rax as 16 digits at rdi; goes on at r8.
hex:
  movl $16, %ecx
1:
  rolq $4, %rax
  movl %eax, %edx
  andl $15, %edx
  movb digits(%rdx), %dl
  movb %dl, (%rdi)
  incq %rdi
  decl %ecx
  jnz 1b
  jmp *%r8

print:
  movw $COM1, %dx
1:
  movb (%rdi), %al
  testb %al, %al
  jz 2f
  outb %al, %dx
  incq %rdi
  jmp 1b
2:
  jmp *%r8

  .data
digits: .ascii "0123456789abcdef"
stat_text: .ascii "{\"event\":\"stat\",\"laps\":\"0x"
laps_digits: .ascii "0000000000000000\",\"ticks\":\"0x"
ticks_digits: .asciz "0000000000000000\"}\n"
fatal_text: .ascii "{\"event\":\"fatal\",\"why\":\""
fatal_reason: .ascii "?\",\"vector\":\"0x"
vector_digits: .ascii "0000000000000000\",\"frame\":[\"0x"
frame_digits: .ascii "0000000000000000\",\"0x"
frame_more_digits: .ascii "0000000000000000\"],\"cr2\":\"0x"
address_digits: .asciz "0000000000000000\"}\n"
  .balign 8
place: .quad 0
ticks: .quad 0

  .balign 16
gdt:
  .quad 0
  .quad 0x00af9b000000ffff // KERNEL_CODE
  .quad 0x00cf93000000ffff // KERNEL_DATA
  .quad 0x00cf9b000000ffff
  .quad 0x00cff3000000ffff // USER_DATA
  .quad 0x00affb000000ffff // USER_CODE
  .quad 0x0000890000000000 + TSS_BYTES + IO_MAP_BYTES
  .quad 0
gdt_pointer:
  .word TSS + 16 - 1
  .quad gdt
idt_pointer:
  .word 256 * 16 - 1
  .quad idt

  .balign 4096
level4:
  .quad level3 + PAGE_TABLE
  .fill 511, 8, 0
level3:
  .quad directories + PAGE_TABLE
  .quad directories + 0x1000 + PAGE_TABLE
  .quad directories + 0x2000 + PAGE_TABLE
  .quad directories + 0x3000 + PAGE_TABLE
  .quad windows + PAGE_TABLE
  .fill 507, 8, 0
directories: // identity for 4 GiB
  .set address, 0
  .rept 0xd0000000 / 0x200000
  .quad address + PAGE_RAM + PAGE_LARGE
  .set address, address + 0x200000
  .endr
  .rept 0x30000000 / 0x200000 // device registers
  .quad address + PAGE_RAM + PAGE_LARGE + PAGE_UNCACHED
  .set address, address + 0x200000
  .endr
windows: .fill 512, 8, 0
idt: .fill 512, 8, 0
tss: .fill TSS_BYTES + IO_MAP_BYTES, 1, 0
  .byte 0xff
