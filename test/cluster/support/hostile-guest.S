// A driver of the network card that keeps no rule: round after round it sets the card up with rings full of junk, in which
// enough is right for some frames to go out. They are broadcasts that pretend to come from the card
// 52:54:00:00:00:01, and junk behind that. 32-bit protected mode, as PVH enters; it uses no interrupt and never sleeps.
#define COM1 0x3f8
// The second device of the VM: the first is the entropy device.
#define CARD 0xd0001000
#define DEVICE_FEATURES 0x10
#define DEVICE_FEATURES_SELECT 0x14
#define DRIVER_FEATURES 0x20
#define DRIVER_FEATURES_SELECT 0x24
#define QUEUE_SELECT 0x30
#define QUEUE_SIZE_MAX 0x34
#define QUEUE_SIZE 0x38
#define QUEUE_READY 0x44
#define QUEUE_NOTIFY 0x50
#define STATUS 0x70
#define QUEUE_DESCRIPTORS 0x80
#define QUEUE_DRIVER 0x90
#define QUEUE_DEVICE 0xa0

#define RINGS 0x400000
#define RING_BYTES 0x4000
#define DRIVER_OFFSET 0x1000
#define DEVICE_OFFSET 0x2000
#define QUEUES 3
#define ENTRIES 256
#define BUFFERS 0x500000
#define BUFFERS_END 0x510000
#define FRAME_BYTES 64
#define HEADER_BYTES 12

#include "../../../cli/bench/native/pvh-note.h"

  .text
  .code32
  .globl start
start:
  movl $stack_end, %esp
  cld
  call fill_buffers
round:
  call say
  movl $CARD, %ebx
  movl $0, STATUS(%ebx)
  movl $3, STATUS(%ebx)
  // Every feature that is offered.
  xorl %ecx, %ecx
1:
  movl %ecx, DEVICE_FEATURES_SELECT(%ebx)
  movl DEVICE_FEATURES(%ebx), %eax
  movl %ecx, DRIVER_FEATURES_SELECT(%ebx)
  movl %eax, DRIVER_FEATURES(%ebx)
  incl %ecx
  cmpl $2, %ecx
  jb 1b
  movl $11, STATUS(%ebx)
  call fill_rings
  call place_queues
  movl $15, STATUS(%ebx)
  // Notified, junked again under the device's hands, notified.
  movl $8, %ebp
2:
  call notify
  call junk_available
  decl %ebp
  jnz 2b
  jmp round

// al: a line of one letter, so that one sees it alive.
say:
  movw $COM1, %dx
  movb $'!', %al
  outb %al, %dx
  movb $'\n', %al
  outb %al, %dx
  ret

// eax = the next random number (Numerical Recipes' generator, the better half in front).
next_random:
  imull $1664525, seed, %eax
  addl $1013904223, %eax
  movl %eax, seed
  roll $16, %eax
  ret

// Frames at every 64 bytes: an empty virtio header, broadcast, a stolen source address, junk.
fill_buffers:
  movl $BUFFERS, %edi
1:
  xorl %eax, %eax
  stosl
  stosl
  stosl
  movl $0xffffffff, %eax
  stosl
  stosw
  movl $0x00005452, %eax // 52:54:00:00
  stosl
  movw $0x0100, %ax // 00:01
  stosw
  movl $((FRAME_BYTES - HEADER_BYTES - 12) / 4), %ecx
2:
  call next_random
  stosl
  decl %ecx
  jnz 2b
  cmpl $BUFFERS_END, %edi
  jb 1b
  ret

// Descriptors: mostly addresses of frames, short lengths and few flags; some are all junk.
fill_rings:
  movl $RINGS, %edi
  movl $QUEUES, %edx
1:
  movl $ENTRIES, %ecx
  pushl %edi
2:
  call next_random
  testl $0xf0000000, %eax
  jz 3f
  andl $(BUFFERS_END - BUFFERS - FRAME_BYTES), %eax
  andl $~(FRAME_BYTES - 1), %eax
  addl $BUFFERS, %eax
3:
  stosl // address
  call next_random
  testl $0xf8000000, %eax
  jz 3f
  xorl %eax, %eax
3:
  stosl // its upper half
  call next_random
  testl $0xf0000000, %eax
  jz 3f
  andl $0x7ff, %eax
3:
  stosl // length
  call next_random
  testl $0x80000000, %eax
  jz 3f
  andl $0x00ff0002, %eax // neither chained nor indirect
3:
  andl $0x00ffffff, %eax
  stosl // flags and next
  decl %ecx
  jnz 2b
  popl %edi
  addl $RING_BYTES, %edi
  decl %edx
  jnz 1b
  // Falls through.

// Available rings: any entry, and an index that is mostly within reach.
junk_available:
  movl $(RINGS + DRIVER_OFFSET), %edi
  movl $QUEUES, %edx
1:
  movl $((6 + 2 * ENTRIES) / 4), %ecx
  pushl %edi
2:
  call next_random
  andl $0x00ff00ff, %eax
  stosl
  decl %ecx
  jnz 2b
  popl %edi
  call next_random
  movw $0, (%edi)
  testl $0xf0000000, %eax
  jz 3f
  andl $0xff, %eax
3:
  movw %ax, 2(%edi)
  addl $RING_BYTES, %edi
  decl %edx
  jnz 1b
  ret

place_queues:
  xorl %ecx, %ecx
  movl $RINGS, %edi
1:
  movl %ecx, QUEUE_SELECT(%ebx)
  movl QUEUE_SIZE_MAX(%ebx), %eax
  movl %eax, QUEUE_SIZE(%ebx)
  movl %edi, QUEUE_DESCRIPTORS(%ebx)
  leal DRIVER_OFFSET(%edi), %eax
  movl %eax, QUEUE_DRIVER(%ebx)
  leal DEVICE_OFFSET(%edi), %eax
  movl %eax, QUEUE_DEVICE(%ebx)
  movl $1, QUEUE_READY(%ebx)
  addl $RING_BYTES, %edi
  incl %ecx
  cmpl $QUEUES, %ecx
  jb 1b
  ret

// One number more than there are queues.
notify:
  xorl %ecx, %ecx
1:
  movl %ecx, QUEUE_NOTIFY(%ebx)
  incl %ecx
  cmpl $(QUEUES + 1), %ecx
  jb 1b
  ret

  .data
seed:
  .long 20140105
  .bss
  .balign 16
  .skip 4096
stack_end:
