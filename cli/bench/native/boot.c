// ELF and PVH, for an image that is known to be in order.
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "machine.h"

#define START_INFO 0x6000
#define MEMORY_MAP 0x6100
#define CMDLINE 0x20000
#define XEN_ELFNOTE_PHYS32_ENTRY 18

// xen/include/public/arch-x86/hvm/start_info.h
struct start_info {
  uint32_t magic, version, flags, nr_modules;
  uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
  uint32_t memmap_entries, reserved;
};
struct memory_map_entry {
  uint64_t address, bytes;
  uint32_t type, reserved;
};

static void read_at(int file, void *into, uint64_t bytes, uint64_t offset) {
  if (pread(file, into, bytes, (off_t)offset) != (ssize_t)bytes) fail("image");
}

// The entry that the note names, or 0.
static uint64_t find_entry(const uint8_t *notes, uint64_t bytes) {
  for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= bytes;) {
    const Elf64_Nhdr *note = (const void *)(notes + at);
    const uint8_t *name = notes + at + sizeof *note;
    const uint8_t *description = name + ((note->n_namesz + 3) & ~3u);
    if (note->n_type == XEN_ELFNOTE_PHYS32_ENTRY && note->n_namesz == 4 && memcmp(name, "Xen", 4) == 0)
      return *(const uint32_t *)description;
    at = (uint64_t)(description - notes) + ((note->n_descsz + 3) & ~3u);
  }
  return 0;
}

uint64_t load_image(struct machine *machine, const char *image) {
  int file = open(image, O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(image);
  Elf64_Ehdr header;
  read_at(file, &header, sizeof header, 0);
  uint64_t entry = 0;
  for (int i = 0; i < header.e_phnum; i++) {
    Elf64_Phdr segment;
    read_at(file, &segment, sizeof segment, header.e_phoff + (uint64_t)i * sizeof segment);
    if (segment.p_type == PT_LOAD) {
      if (segment.p_paddr + segment.p_memsz > machine->ram_bytes) fail("segment beyond RAM");
      read_at(file, machine->ram + segment.p_paddr, segment.p_filesz, segment.p_offset);
    } else if (segment.p_type == PT_NOTE) {
      uint8_t *notes = malloc(segment.p_filesz);
      read_at(file, notes, segment.p_filesz, segment.p_offset);
      if (entry == 0) entry = find_entry(notes, segment.p_filesz);
      free(notes);
    }
  }
  close(file);
  if (entry == 0) fail("no PVH note");
  return entry;
}

static void set_segment(struct kvm_segment *segment, uint16_t selector, uint8_t type) {
  *segment = (struct kvm_segment){
      .limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .db = 1, .s = 1, .g = 1};
}

void enter_pvh(struct machine *machine, uint64_t entry, const char *cmdline) {
  struct memory_map_entry map[] = {{0, 0x9fc00, 1, 0}, {1 << 20, machine->ram_bytes - (1 << 20), 1, 0}};
  struct start_info info = {.magic = 0x336ec578,
                            .version = 1,
                            .cmdline_paddr = CMDLINE,
                            .memmap_paddr = MEMORY_MAP,
                            .memmap_entries = sizeof map / sizeof map[0]};
  memcpy(machine->ram + START_INFO, &info, sizeof info);
  memcpy(machine->ram + MEMORY_MAP, map, sizeof map);
  strcpy((char *)machine->ram + CMDLINE, cmdline);

  struct kvm_sregs sregs;
  if (ioctl(machine->vcpu, KVM_GET_SREGS, &sregs) < 0) fail("KVM_GET_SREGS");
  set_segment(&sregs.cs, 0x08, 11);
  set_segment(&sregs.ds, 0x10, 3);
  sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
  sregs.tr = (struct kvm_segment){.limit = 0x67, .type = 11, .present = 1};
  sregs.cr0 = 0x11;
  sregs.cr4 = 0;
  sregs.efer = 0;
  if (ioctl(machine->vcpu, KVM_SET_SREGS, &sregs) < 0) fail("KVM_SET_SREGS");
  struct kvm_regs regs = {.rip = entry, .rbx = START_INFO, .rflags = 2};
  if (ioctl(machine->vcpu, KVM_SET_REGS, &regs) < 0) fail("KVM_SET_REGS");
}
