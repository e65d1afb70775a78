// 64-bit kernel code, as the Linux boot protocol enters it, that goes round and round through instructions which a KVM that
// works in software does not know, and looks at what became of them. Each round it says that it is alive; at the first
// wrong result it says which, and resets the machine. With STRANGE defined it ends with an instruction that nobody completes.
#define COM1 0x3f8
#define KEYBOARD 0x64
#define PULSE_RESET 0xfe
#define OSFXSR_OSXSAVE 0x40200
#define TF 0x100
#define DR6_BS 0x4000
#define ABSENT 0x4000000000
#define ROUND_STEPS 20

  .code64
  .text
  .globl start
start:
  leaq stack_end(%rip), %rsp
  // Gates 1, 3, 6 and 14, made from addresses and the selector in use.
  leaq on_step(%rip), %rax
  leaq idt + 1 * 16(%rip), %rdi
  call set_gate
  leaq on_breakpoint(%rip), %rax
  leaq idt + 3 * 16(%rip), %rdi
  call set_gate
  leaq on_undefined(%rip), %rax
  leaq idt + 6 * 16(%rip), %rdi
  call set_gate
  leaq on_page_fault(%rip), %rax
  leaq idt + 14 * 16(%rip), %rdi
  call set_gate
  lidt idt_pointer(%rip)
  movq %cr4, %rax
  orq $OSFXSR_OSXSAVE, %rax
  movq %rax, %cr4
  xorl %r12d, %r12d // steps made
  xorl %r13d, %r13d // breakpoints that arrived
round:
  movl $ROUND_STEPS, %ebp
step:
  incq %r12
  movb $'b', %r15b
  int3
  cmpq %r12, %r13
  jne bad

  movb $'a', %r15b
  stac
  pushfq
  popq %rax
  testl $0x40000, %eax
  jz bad
  clac
  pushfq
  popq %rax
  testl $0x40000, %eax
  jnz bad

  movb $'x', %r15b
  // pair becomes (steps, 2 * steps), once.
  movq pair(%rip), %rax
  movq pair + 8(%rip), %rdx
  movq %r12, %rbx
  leaq (%r12,%r12), %rcx
  lock cmpxchg16b pair(%rip)
  jnz bad
  lock cmpxchg16b pair(%rip)
  jz bad
  cmpq %r12, %rax
  jne bad
  cmpq %rcx, %rdx
  jne bad

  movb $'p', %r15b
  movl $0xf0f0, %eax
  popcntq %rax, %rax
  cmpl $8, %eax
  jne bad

  movb $'m', %r15b
  movq %r12, %xmm1
  movdqu %xmm1, area2(%rip)
  movdqu area2(%rip), %xmm2
  pxor %xmm1, %xmm2
  movq %xmm2, %rax
  testq %rax, %rax
  jnz bad

  movb $'s', %r15b
  movl $0x3f80, word(%rip)
  ldmxcsr word(%rip)
  movl $0, word(%rip)
  stmxcsr word(%rip)
  cmpl $0x3f80, word(%rip)
  jne bad
  fwait

  movb $'v', %r15b
  // Each time: QEMU's emulated SVM does not tell KVM of it, which then puts back what it knows at the next exit.
  xorl %ecx, %ecx
  movl $7, %eax
  xorl %edx, %edx
  xsetbv
  xsave area(%rip)
  pxor %xmm1, %xmm1
  movl $7, %eax
  xrstor area(%rip)
  movq %xmm1, %rax
  cmpq %r12, %rax
  jne bad

  movb $'t', %r15b
  // One step, over an instruction that is completed: TF counts from the one behind popfq on.
  xorl %r14d, %r14d
  leaq 2f(%rip), %rsi // where the step ends
  pushfq
  orq $TF, (%rsp)
  popfq
  clac
2:
  cmpq $1, %r14
  jne bad

  movb $'f', %r15b
  movabsq $ABSENT, %rdi
  xorl %r14d, %r14d
  leaq 1f(%rip), %rsi // where the fault's handler returns to
  movl $7, %eax
  xsave (%rdi)
1:
  cmpq $2, %r14 // the error code: not present, write
  jne bad

  decl %ebp
  jnz step
  leaq alive(%rip), %rsi
  movl $(alive_end - alive), %ecx
  movw $COM1, %dx
  rep outsb
#ifdef STRANGE
  vpaddd %ymm0, %ymm0, %ymm0
#endif
  jmp round

bad:
  movb %r15b, letter(%rip)
  leaq wrong(%rip), %rsi
  movl $(wrong_end - wrong), %ecx
  movw $COM1, %dx
  rep outsb
  movw $KEYBOARD, %dx
  movb $PULSE_RESET, %al
  outb %al, %dx
  jmp .

// Counts a step that ended at rsi, as DR6 has to say, and takes no further one.
on_step:
  cmpq %rsi, (%rsp)
  jne bad
  movq %db6, %rax
  testl $DR6_BS, %eax
  jz bad
  xorl %eax, %eax
  movq %rax, %db6
  incq %r14
  andq $~TF, 16(%rsp)
  iretq

on_breakpoint:
  incq %r13
  iretq

on_undefined:
  movb $'u', %r15b
  jmp bad

// Keeps the error code, and returns to rsi if the address is the expected one.
on_page_fault:
  popq %r14
  movq %cr2, %rax
  cmpq %rdi, %rax
  jne bad
  movq %rsi, (%rsp)
  iretq

// rax: handler, rdi: gate
set_gate:
  movw %ax, (%rdi)
  movw %cs, %cx
  movw %cx, 2(%rdi)
  movw $0x8e00, 4(%rdi)
  shrq $16, %rax
  movw %ax, 6(%rdi)
  shrq $16, %rax
  movl %eax, 8(%rdi)
  ret

  .data
alive:
  .ascii "{\"event\":\"stat\",\"workload\":\"kernel\",\"errors\":0}\n"
alive_end:
wrong:
  .ascii "{\"event\":\"fatal\",\"why\":\""
letter:
  .ascii "?\"}\n"
wrong_end:
  .balign 16
pair:
  .quad 0, 0
word:
  .long 0
  .balign 16
idt_pointer:
  .word 16 * 32 - 1
  .quad idt
  .balign 64
area:
  .space 4096
area2:
  .space 64
idt:
  .space 16 * 32
  .space 4096
stack_end:
