import { TsvmmError } from '../errors.ts';
import { bytes, struct, u16, u32, usize } from '../ffi/struct.ts';

/** ELF-64 object file format, version 1.5; field names as in elf.h. */
export const elf64Header = struct('Elf64_Ehdr', {
  e_ident: bytes(16),
  e_type: u16,
  e_machine: u16,
  e_version: u32,
  e_entry: usize,
  e_phoff: usize,
  e_shoff: usize,
  e_flags: u32,
  e_ehsize: u16,
  e_phentsize: u16,
  e_phnum: u16,
  e_shentsize: u16,
  e_shnum: u16,
  e_shstrndx: u16,
});
export const elf64ProgramHeader = struct('Elf64_Phdr', {
  p_type: u32,
  p_flags: u32,
  p_offset: usize,
  p_vaddr: usize,
  p_paddr: usize,
  p_filesz: usize,
  p_memsz: usize,
  p_align: usize,
});
export const elf64Note = struct('Elf64_Nhdr', { n_namesz: u32, n_descsz: u32, n_type: u32 });

const IDENT = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]; // "\x7fELF", 64 bit, little-endian, version 1
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const MAXIMUM_PROGRAM_HEADERS = 64;
const MAXIMUM_NOTE_BYTES = 64 * 1024;
/** Xen's ELF note with the entry point of the PVH boot protocol (xen/include/public/elfnote.h). */
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

export interface ElfSegment {
  readonly physicalAddress: number;
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export interface ElfImage {
  /** The address in the header, where a 64-bit boot protocol enters. */
  readonly entry: number;
  /** Where PVH enters, if the image has the note for it. */
  readonly pvhEntry: number | undefined;
  readonly segments: readonly ElfSegment[];
}

/** Reads bytes of the image file; yields fewer than asked at its end. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/** Parses an x86-64 ELF executable. Throws TSVMM_E_IMAGE_INVALID naming `path` and what is wrong with it. */
export function parseElf(path: string, fileSize: number, readAt: ReadAt): ElfImage {
  const invalid = (why: string) =>
    new TsvmmError('TSVMM_E_IMAGE_INVALID', `${path} is not a bootable image: ${why}`, {
      hint: 'give a kernel for x86-64: an ELF executable (vmlinux) or a bzImage (vmlinuz)',
    });
  const exactly = (offset: number, length: number): ArrayBuffer => {
    if (offset > fileSize || length > fileSize - offset) throw invalid('the file is truncated');
    const data = readAt(offset, length);
    if (data.byteLength !== length) throw invalid('the file is truncated');
    return data.slice().buffer as ArrayBuffer;
  };

  if (fileSize < elf64Header.size) throw invalid('it is too short for an ELF header');
  const header = elf64Header.at(exactly(0, elf64Header.size));
  if (IDENT.some((byte, i) => header.e_ident[i] !== byte))
    throw invalid('it does not start with a 64-bit ELF header');
  if (header.e_machine !== EM_X86_64) throw invalid(`it is for machine ${header.e_machine}, not x86-64`);
  if (header.e_phentsize !== elf64ProgramHeader.size)
    throw invalid('its program headers have an unknown size');
  if (header.e_phnum === 0 || header.e_phnum > MAXIMUM_PROGRAM_HEADERS) {
    throw invalid(`it has ${header.e_phnum} program headers`);
  }

  const table = exactly(header.e_phoff, header.e_phnum * elf64ProgramHeader.size);
  const programHeaders = Array.from({ length: header.e_phnum }, (_, i) =>
    elf64ProgramHeader.at(table, i * elf64ProgramHeader.size),
  );
  const segments = programHeaders
    .filter(segment => segment.p_type === PT_LOAD && segment.p_memsz > 0)
    .map(segment => {
      if (segment.p_filesz > segment.p_memsz) throw invalid('a segment is larger in the file than in memory');
      if (segment.p_offset > fileSize || segment.p_filesz > fileSize - segment.p_offset) {
        throw invalid('a segment ends beyond the file: it is truncated');
      }
      return {
        physicalAddress: segment.p_paddr,
        fileOffset: segment.p_offset,
        fileSize: segment.p_filesz,
        memorySize: segment.p_memsz,
      };
    });
  if (segments.length === 0) throw invalid('it has nothing to load');

  let pvhEntry: number | undefined;
  for (const { p_type, p_offset, p_filesz } of programHeaders) {
    if (p_type !== PT_NOTE) continue;
    if (p_filesz > MAXIMUM_NOTE_BYTES) throw invalid('its notes are too long');
    pvhEntry ??= findPvhEntry(exactly(p_offset, p_filesz));
  }
  return { entry: header.e_entry, pvhEntry, segments };
}

function findPvhEntry(notes: ArrayBuffer): number | undefined {
  const padded = (size: number) => Math.ceil(size / 4) * 4;
  const view = new DataView(notes);
  for (let at = 0; at + elf64Note.size <= notes.byteLength; ) {
    const { n_namesz, n_descsz, n_type } = elf64Note.at(notes, at);
    const name = at + elf64Note.size;
    const description = name + padded(n_namesz);
    if (description + n_descsz > notes.byteLength) return undefined;
    const isXen = n_namesz === 4 && view.getUint32(name, false) === 0x58656e00; // "Xen\0"
    if (isXen && n_type === XEN_ELFNOTE_PHYS32_ENTRY && n_descsz >= 4)
      return view.getUint32(description, true);
    at = description + padded(n_descsz);
  }
  return undefined;
}
