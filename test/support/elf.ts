import { elf64Header, elf64Note, elf64ProgramHeader } from '../../vmm/boot/elf.ts';

export interface ElfSegmentSpec {
  readonly address: number;
  readonly content: Uint8Array;
  /** Longer than the content by what is zeroed; as long as it if left out. */
  readonly memorySize?: number;
}

export interface ElfSpec {
  readonly segments?: readonly ElfSegmentSpec[];
  readonly entry?: number;
  /** undefined: the load address; null: no PVH note. */
  readonly pvhEntry?: number | null;
}

const PT_LOAD = 1;
const PT_NOTE = 4;
export const LOAD_ADDRESS = 0x100000;
/** cli; hlt; jmp to hlt */
export const HALT = new Uint8Array([0xfa, 0xf4, 0xeb, 0xfd]);

/** An ELF executable that is in order, for tests to run or to spoil: header, program headers, note, segments. */
export function buildElf({
  segments = [{ address: LOAD_ADDRESS, content: HALT }],
  entry = LOAD_ADDRESS,
  pvhEntry = LOAD_ADDRESS,
}: ElfSpec = {}): Uint8Array<ArrayBuffer> {
  const note = pvhNote(pvhEntry);
  const count = segments.length + 1;
  const noteOffset = elf64Header.size + count * elf64ProgramHeader.size;
  const contentOffset = noteOffset + note.length;
  const file = new Uint8Array(contentOffset + segments.reduce((sum, s) => sum + s.content.length, 0));

  const header = elf64Header.at(file.buffer);
  header.e_ident.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.e_type = 2;
  header.e_machine = 62;
  header.e_version = 1;
  header.e_entry = entry;
  header.e_phoff = elf64Header.size;
  header.e_ehsize = elf64Header.size;
  header.e_phentsize = elf64ProgramHeader.size;
  header.e_phnum = count;

  const programHeader = (index: number) =>
    elf64ProgramHeader.at(file.buffer, elf64Header.size + index * elf64ProgramHeader.size);
  file.set(note, noteOffset);
  Object.assign(programHeader(0), { p_type: PT_NOTE, p_offset: noteOffset, p_filesz: note.length });
  let offset = contentOffset;
  for (const [i, { address, content, memorySize = content.length }] of segments.entries()) {
    file.set(content, offset);
    Object.assign(programHeader(i + 1), {
      p_type: PT_LOAD,
      p_offset: offset,
      p_vaddr: address,
      p_paddr: address,
      p_filesz: content.length,
      p_memsz: memorySize,
    });
    offset += content.length;
  }
  return file;
}

function pvhNote(entry: number | null): Uint8Array {
  if (entry === null) return new Uint8Array(0);
  const bytes = new Uint8Array(elf64Note.size + 4 + 4);
  Object.assign(elf64Note.at(bytes.buffer), { n_namesz: 4, n_descsz: 4, n_type: 18 });
  bytes.set(new TextEncoder().encode('Xen\0'), elf64Note.size);
  new DataView(bytes.buffer).setUint32(elf64Note.size + 4, entry, true);
  return bytes;
}
