// For assembly guests: the ELF note by which PVH boot finds `start`, where they are entered (Xen's public/elfnote.h).
  .section .note.Xen, "a", @note
  .long 4, 4, 18 // XEN_ELFNOTE_PHYS32_ENTRY
  .asciz "Xen"
  .long start
