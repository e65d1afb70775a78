import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TsvmmError } from '../../../vmm/errors.ts';
import { GIB, gpa, MIB } from '../../../vmm/memory/address.ts';
import { GuestMemory } from '../../../vmm/memory/guest-memory.ts';
import { HOLE_END, HOLE_START } from '../../../vmm/memory/layout.ts';
import { allocateRam, type Ram } from '../../../vmm/memory/ram.ts';

const LENGTH = 5 * GIB;
/** RAM ends here in the guest: 3 GiB below the hole, 2 GiB above it. */
const END = HOLE_END + 2 * GIB;

const test = suite<{ ram: Ram; memory: GuestMemory }>('GuestMemory');
test.before(context => {
  context.ram = allocateRam(LENGTH, { hugePages: false });
  context.memory = new GuestMemory(context.ram);
});
test.after(({ ram }) => ram.free());

function refuses(work: () => unknown, what: string): void {
  assert.throws(
    work,
    (error: unknown) => error instanceof TsvmmError && error.code === 'TSVMM_E_GUEST_MEMORY',
    what,
  );
}

test('contains(): everything in RAM, nothing in the hole or beyond the end', ({ memory }) => {
  for (const [start, length] of [
    [0, 1],
    [HOLE_START - 1, 1],
    [0, HOLE_START],
    [HOLE_END, 2 * GIB],
    [END - 8, 8],
    [END, 0],
  ] as const) {
    assert.ok(memory.contains(gpa(start), length), `${start} + ${length}`);
  }
  for (const [start, length] of [
    [HOLE_START - 1, 2],
    [HOLE_START, 1],
    [HOLE_END - 1, 2],
    [0, HOLE_END + 1],
    [END - 8, 9],
    [END, 1],
    [-1, 1],
    [-8, 16],
    [0, -1],
    [0.5, 1],
    [2 ** 53, 1],
    [2 ** 64 - 1, 2],
    [Number.NaN, 1],
    [0, Number.NaN],
    [0, Number.POSITIVE_INFINITY],
  ] as const) {
    assert.not.ok(memory.contains(gpa(start), length), `${start} + ${length}`);
  }
});

test('scalars: little-endian, on both sides of the hole and in every window', ({ memory }) => {
  for (const at of [
    0x1000,
    GIB - 8,
    GIB,
    2 * GIB + 4096,
    HOLE_START - 8,
    HOLE_END,
    HOLE_END + GIB,
    END - 8,
  ]) {
    memory.writeU64(gpa(at), 0x1f_0203_0405_0607);
    assert.is(memory.readU64(gpa(at)), 0x1f_0203_0405_0607);
    assert.is(memory.readU8(gpa(at)), 0x07);
    assert.is(memory.readU16(gpa(at + 2)), 0x0405);
    assert.is(memory.readU32(gpa(at + 4)), 0x001f_0203);
    memory.writeU32(gpa(at), 0xfeffffff);
    memory.writeU16(gpa(at), 0xbeef);
    memory.writeU8(gpa(at + 7), 0xff);
    assert.is(memory.readU32(gpa(at)), 0xfeffbeef);
    memory.storeU16(gpa(at + 2), 0x1234);
    assert.is(memory.loadU16(gpa(at + 2)), 0x1234);
  }
});

test('addresses above and below the hole are different memory', ({ memory }) => {
  memory.writeU32(gpa(HOLE_START - 4), 1);
  memory.writeU32(gpa(HOLE_END), 2);
  memory.writeU32(gpa(0), 3);
  assert.equal(
    [HOLE_START - 4, HOLE_END, 0].map(at => memory.readU32(gpa(at))),
    [1, 2, 3],
  );
});

test('copyIn() and copyOut() cross 1 GiB boundaries, but not into the hole', ({ memory }) => {
  const pattern = Uint8Array.from({ length: 3 * MIB }, (_, i) => i * 7);
  for (const at of [GIB - 5, 2 * GIB - 3 * MIB, HOLE_END + GIB - MIB, END - 3 * MIB]) {
    memory.copyIn(gpa(at), pattern);
    const back = new Uint8Array(pattern.length);
    memory.copyOut(gpa(at), back);
    assert.ok(Buffer.from(back).equals(pattern), `at ${at}`);
  }
  refuses(() => memory.copyIn(gpa(HOLE_START - 5), pattern), 'into the hole');
  refuses(() => memory.copyOut(gpa(END - 5), new Uint8Array(6)), 'beyond the end');
  memory.copyIn(gpa(END + 100), new Uint8Array(0));
});

test('a refused write changes nothing', ({ memory }) => {
  memory.writeU32(gpa(END - 4), 0xaaaaaaaa);
  refuses(() => memory.writeU64(gpa(END - 4), 0), 'writeU64');
  refuses(() => memory.copyIn(gpa(END - 4), new Uint8Array(8)), 'copyIn');
  assert.is(memory.readU32(gpa(END - 4)), 0xaaaaaaaa);
});

test('every accessor refuses what lies outside of RAM', ({ memory }) => {
  for (const at of [gpa(HOLE_START), gpa(END), gpa(-2), gpa(2 ** 52), gpa(Number.NaN)]) {
    refuses(() => memory.readU8(at), 'readU8');
    refuses(() => memory.readU16(at), 'readU16');
    refuses(() => memory.readU32(at), 'readU32');
    refuses(() => memory.readU64(at), 'readU64');
    refuses(() => memory.writeU8(at, 0), 'writeU8');
    refuses(() => memory.writeU16(at, 0), 'writeU16');
    refuses(() => memory.writeU32(at, 0), 'writeU32');
    refuses(() => memory.writeU64(at, 0), 'writeU64');
    refuses(() => memory.loadU16(at), 'loadU16');
    refuses(() => memory.storeU16(at, 0), 'storeU16');
    refuses(() => memory.hostRange(at, 1), 'hostRange');
    refuses(() => memory.hostRangeForWrite(at, 1), 'hostRangeForWrite');
  }
});

test('scalars may lie anywhere but across a 1 GiB boundary; atomic words only at even addresses', ({
  memory,
}) => {
  memory.writeU64(gpa(0x1003), 0x1122334455667);
  assert.is(memory.readU64(gpa(0x1003)), 0x1122334455667);
  refuses(() => memory.readU64(gpa(GIB - 4)), 'readU64 across');
  refuses(() => memory.writeU16(gpa(GIB - 1), 0), 'writeU16 across');
  refuses(() => memory.loadU16(gpa(0x1001)), 'odd load');
  refuses(() => memory.storeU16(gpa(0x1001), 0), 'odd store');
});

test('hostRange(): address of the RAM mapping, without the hole', ({ memory, ram }) => {
  assert.is(memory.hostRange(gpa(0x1234), 1), ram.address + 0x1234);
  assert.is(memory.hostRangeForWrite(gpa(HOLE_END + 16), 16), ram.address + HOLE_START + 16);
});

test('the write guard sees every write before it happens, and no read', ({ ram }) => {
  const seen: string[] = [];
  const guarded = new GuestMemory(ram, {
    beforeWrite: (offset, length, address) => {
      assert.is(address, ram.address + offset);
      seen.push(`${offset} ${length} ${before.readU8(gpa(at))}`);
    },
  });
  const before = new GuestMemory(ram);
  const at = HOLE_END + 64;
  const offset = HOLE_START + 64;
  const writes: Record<string, [work: () => unknown, length: number]> = {
    writeU8: [() => guarded.writeU8(gpa(at), 0xff), 1],
    writeU16: [() => guarded.writeU16(gpa(at), 0xffff), 2],
    writeU32: [() => guarded.writeU32(gpa(at), 0xffffffff), 4],
    writeU64: [() => guarded.writeU64(gpa(at), 0xffffffff), 8],
    storeU16: [() => guarded.storeU16(gpa(at), 0xffff), 2],
    copyIn: [() => guarded.copyIn(gpa(at), new Uint8Array(100).fill(0xff)), 100],
    hostRangeForWrite: [() => guarded.hostRangeForWrite(gpa(at), 5000), 5000],
  };
  for (const [name, [work, length]] of Object.entries(writes)) {
    before.copyIn(gpa(at), new Uint8Array(100).fill(7));
    seen.length = 0;
    work();
    assert.equal(seen, [`${offset} ${length} 7`], name);
  }
  seen.length = 0;
  guarded.readU64(gpa(at));
  guarded.loadU16(gpa(at));
  guarded.copyOut(gpa(at), new Uint8Array(8));
  guarded.hostRange(gpa(at), 8);
  assert.equal(seen, []);
});

test('every mutating method of GuestMemory goes through the guard: none is missing above', () => {
  const mutating = Object.getOwnPropertyNames(GuestMemory.prototype).filter(name =>
    /write|store|copyIn/i.test(name),
  );
  assert.equal(mutating.sort(), [
    'copyIn',
    'hostRangeForWrite',
    'storeU16',
    'writeU16',
    'writeU32',
    'writeU64',
    'writeU8',
  ]);
});

test.run();
