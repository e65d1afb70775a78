import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type ElfImage,
  elf64Header,
  elf64Note,
  elf64ProgramHeader,
  parseElf,
} from '../../../vmm/boot/elf.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { buildElf, HALT, LOAD_ADDRESS } from '../../support/elf.ts';
import { Random } from '../../support/random.ts';

const parse = (file: Uint8Array): ElfImage =>
  parseElf('image', file.length, (offset, length) => file.subarray(offset, offset + length));

function refusal(file: Uint8Array): string {
  try {
    parse(file);
  } catch (error) {
    assert.instance(error, TsvmmError);
    assert.is((error as TsvmmError).code, 'TSVMM_E_IMAGE_INVALID');
    assert.ok((error as TsvmmError).hint);
    return (error as TsvmmError).message;
  }
  return 'accepted';
}

/** A good file, spoilt by `change`. */
function spoilt(
  change: (header: HeaderView, first: ProgramHeaderView, second: ProgramHeaderView) => void,
): Uint8Array {
  const file = buildElf();
  const programHeader = (i: number) =>
    elf64ProgramHeader.at(file.buffer, elf64Header.size + i * elf64ProgramHeader.size);
  change(elf64Header.at(file.buffer), programHeader(0), programHeader(1));
  return file;
}
type HeaderView = ReturnType<typeof elf64Header.at>;
type ProgramHeaderView = ReturnType<typeof elf64ProgramHeader.at>;

test('parseElf(): segments, entry and PVH entry of a good file', () => {
  const image = parse(
    buildElf({
      entry: 0x1234,
      pvhEntry: 0x5678,
      segments: [
        { address: LOAD_ADDRESS, content: HALT },
        { address: 2 ** 33, content: new Uint8Array(3), memorySize: 4096 },
      ],
    }),
  );
  assert.is(image.entry, 0x1234);
  assert.is(image.pvhEntry, 0x5678);
  assert.equal(
    image.segments.map(({ physicalAddress, fileSize, memorySize }) => [
      physicalAddress,
      fileSize,
      memorySize,
    ]),
    [
      [LOAD_ADDRESS, HALT.length, HALT.length],
      [2 ** 33, 3, 4096],
    ],
  );
});

test('parseElf(): a file without the PVH note has no PVH entry', () => {
  assert.is(parse(buildElf({ pvhEntry: null })).pvhEntry, undefined);
});

test('parseElf(): the PVH note is found behind others', () => {
  const other = new Uint8Array(elf64Note.size + 8 + 4);
  Object.assign(elf64Note.at(other.buffer), { n_namesz: 5, n_descsz: 3, n_type: 18 });
  other.set(Buffer.from('Linux\0'), elf64Note.size);
  const good = buildElf({ pvhEntry: 0x777 });
  const noteHeader = elf64ProgramHeader.at(good.buffer, elf64Header.size);
  const notes = good.subarray(noteHeader.p_offset, noteHeader.p_offset + noteHeader.p_filesz);
  const file = new Uint8Array([...good, ...other, ...notes]);
  const moved = elf64ProgramHeader.at(file.buffer, elf64Header.size);
  moved.p_offset = good.length;
  moved.p_filesz = other.length + notes.length;
  assert.is(parse(file).pvhEntry, 0x777);
});

const hostile: Record<string, [file: Uint8Array, reason: RegExp]> = {
  nothing: [new Uint8Array(0), /too short/],
  'another kind of file': [new Uint8Array(100).fill(0x41), /ELF header/],
  'a 32-bit file': [spoilt(header => header.e_ident.set([1], 4)), /64-bit ELF/],
  'a big-endian file': [spoilt(header => header.e_ident.set([2], 5)), /64-bit ELF/],
  'another machine': [
    spoilt(header => {
      header.e_machine = 183;
    }),
    /machine 183/,
  ],
  'no program headers': [
    spoilt(header => {
      header.e_phnum = 0;
    }),
    /0 program headers/,
  ],
  'too many program headers': [
    spoilt(header => {
      header.e_phnum = 65535;
    }),
    /65535 program headers/,
  ],
  'program headers of another size': [
    spoilt(header => {
      header.e_phentsize = 32;
    }),
    /unknown size/,
  ],
  'a program header table beyond the file': [
    spoilt(header => {
      header.e_phoff = 2 ** 40;
    }),
    /truncated/,
  ],
  'a segment beyond the file': [
    spoilt((_header, _note, load) => {
      load.p_offset = 2 ** 63;
    }),
    /truncated/,
  ],
  'a segment whose end wraps around': [
    spoilt((_header, _note, load) => {
      load.p_offset = 2 ** 64 - 2 ** 12;
      load.p_filesz = 2 ** 12;
      load.p_memsz = 2 ** 12;
    }),
    /truncated/,
  ],
  'a segment larger in the file than in memory': [
    spoilt((_header, _note, load) => {
      load.p_memsz = 1;
    }),
    /larger in the file/,
  ],
  'nothing to load': [
    spoilt((_header, _note, load) => {
      load.p_type = 0;
    }),
    /nothing to load/,
  ],
  'a note segment beyond the file': [
    spoilt((_header, note) => {
      note.p_offset = 2 ** 32;
    }),
    /truncated/,
  ],
  'endless notes': [
    spoilt((_header, note) => {
      note.p_filesz = 2 ** 30;
    }),
    /notes are too long/,
  ],
};
for (const [name, [file, reason]] of Object.entries(hostile)) {
  test(`parseElf(): refuses ${name}`, () => assert.match(refusal(file), reason));
}

test('parseElf(): notes with lengths beyond the segment are ignored', () => {
  for (const field of [0, 4]) {
    const file = buildElf();
    const { p_offset } = elf64ProgramHeader.at(file.buffer, elf64Header.size);
    new DataView(file.buffer).setUint32(p_offset + field, 0xffffffff, true);
    assert.is(parse(file).pvhEntry, undefined);
  }
});

test('parseElf(): a file that is shorter than it was said to be is refused', () => {
  const file = buildElf();
  const short = () => parseElf('image', file.length, offset => file.subarray(offset, offset + 10));
  assert.throws(short, /truncated/);
});

test('parseElf(): cut off anywhere, a file is refused', () => {
  const file = buildElf();
  for (let length = 0; length < file.length; length++) {
    assert.match(refusal(file.subarray(0, length)), /truncated|too short|beyond/, `${length} bytes`);
  }
});

test('parseElf(): with flipped bits (seed 7), what is accepted lies within the file', () => {
  const random = new Random(7);
  const original = buildElf({
    segments: [
      { address: LOAD_ADDRESS, content: HALT },
      { address: 2 * LOAD_ADDRESS, content: new Uint8Array(500), memorySize: 9000 },
    ],
  });
  let accepted = 0;
  for (let round = 0; round < 20_000; round++) {
    const file = original.slice();
    for (let flips = 1 + random.below(4); flips > 0; flips--) {
      const at = random.below(300);
      file[at] = (file[at] as number) ^ (1 << random.below(8));
    }
    if (refusal(file) !== 'accepted') continue;
    accepted++;
    for (const { fileOffset, fileSize, memorySize } of parse(file).segments) {
      assert.ok(fileOffset + fileSize <= file.length && fileSize <= memorySize, `round ${round}`);
    }
  }
  assert.ok(accepted > 1000 && accepted < 19_000, `${accepted} accepted`);
});

test.run();
