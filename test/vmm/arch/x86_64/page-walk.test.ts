import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PageWalker } from '../../../../vmm/arch/x86_64/page-walk.ts';
import { type Gpa, gpa, MIB, PAGE_SIZE } from '../../../../vmm/memory/address.ts';
import { FakeMemory } from './fake-memory.ts';

const PG = 2 ** 31;
const PSE = 1 << 4;
const PAE = 1 << 5;
const LA57 = 1 << 12;
const LMA = 1 << 10;
const NX = 1n << 63n;

const low = (linear: bigint) => Number(BigInt.asUintN(32, linear)) | 0;
const high = (linear: bigint) => Number(BigInt.asUintN(32, linear >> 32n)) | 0;

interface Translation {
  readonly physical: number | undefined;
  readonly tables: number[];
}

function walk(walker: PageWalker, linear: bigint): Translation {
  const found = walker.walk(low(linear), high(linear));
  return {
    physical: found ? walker.physical : undefined,
    tables: [...walker.tables.subarray(0, walker.tableCount)],
  };
}

/** 4 MiB of memory with an empty root table, and a walker in long mode with `levels` levels. */
function longMode(levels: 4 | 5): { memory: FakeMemory; root: Gpa; walker: PageWalker } {
  const memory = new FakeMemory(4 * MIB, 0x10_0000);
  const root = memory.table();
  const walker = new PageWalker(memory);
  walker.configure(PG, root | 0xfff, 0, PAE | (levels === 5 ? LA57 : 0), LMA);
  return { memory, root, walker };
}

test('PageWalker.walk: without paging, an address is its low 32 bits', () => {
  const walker = new PageWalker(new FakeMemory(PAGE_SIZE, 0));
  walker.configure(1, 0x1000, 0, 0, 0);
  assert.equal(walk(walker, 0xf_8000_0123n), { physical: 0x8000_0123, tables: [] });
});

test('PageWalker.walk: four levels, kernel half, every table on the way', () => {
  const { memory, root, walker } = longMode(4);
  const linear = 0xffff_8881_2345_6000n;
  const tables = memory.map(root, 4, linear, 0x20_3000n, { flags: NX | 0x3n });
  assert.is(tables.length, 4);
  assert.equal(walk(walker, linear + 0x789n), { physical: 0x20_3789, tables });
});

test('PageWalker.walk: five levels use bits 48 to 56', () => {
  const { memory, root, walker } = longMode(5);
  const linear = 0xff12_3456_789a_b000n;
  const tables = memory.map(root, 5, linear, 0x3f_f000n);
  assert.is(tables.length, 5);
  assert.equal(walk(walker, linear + 0xfffn), { physical: 0x3f_ffff, tables });
  assert.is(walk(walker, 0xff13_3456_789a_b000n).physical, undefined);
});

test('PageWalker.walk: pages of 2 MiB and 1 GiB end the walk early; their PAT bit is no address', () => {
  const { memory, root, walker } = longMode(4);
  const large = memory.map(root, 4, 0x4000_0000_0000n, 0x1_2340_0000n, { level: 2, flags: 0x1003n });
  assert.equal(walk(walker, 0x4000_001f_fffen), { physical: 0x1_235f_fffe, tables: large });
  const huge = memory.map(root, 4, 0x5000_0000_0000n, 0xf_c000_0000_0000n, { level: 3 });
  assert.equal(walk(walker, 0x5000_3fff_ffffn), { physical: 0xf_c000_3fff_ffff, tables: huge });
});

test('PageWalker.walk: what is not present ends the walk, with the tables up to there', () => {
  const { memory, root, walker } = longMode(4);
  const tables = memory.map(root, 4, 0x1000n, 0x2000n);
  assert.equal(walk(walker, 0x2000n), { physical: undefined, tables });
  assert.equal(walk(walker, 0x4000_0000n), { physical: undefined, tables: tables.slice(0, 2) });
  memory.map(root, 4, 0x3000n, 0x2000n, { flags: 0x2n });
  assert.is(walk(walker, 0x3000n).physical, undefined, 'present is what counts');
});

test('PageWalker.walk: a page beyond RAM is a translation, a table beyond RAM is none', () => {
  const { memory, root, walker } = longMode(4);
  memory.map(root, 4, 0x1000n, 0xfee0_0000n);
  assert.is(walk(walker, 0x1010n).physical, 0xfee0_0010);
  memory.view.setBigUint64(root + 8, 0xf_ffff_ffff_f003n, true);
  assert.equal(walk(walker, 0x80_0000_0000n), { physical: undefined, tables: [root] });
  walker.configure(PG, 0xffff_f000, 0xf_ffff, PAE, LMA);
  assert.equal(walk(walker, 0x1000n), { physical: undefined, tables: [] });
});

test('PageWalker.walk: tables that point to themselves, and reserved sizes, do no harm', () => {
  const { memory, root, walker } = longMode(5);
  memory.view.setBigUint64(root, BigInt(root) | 0x3n, true);
  assert.equal(walk(walker, 0x123n), { physical: root + 0x123, tables: Array(5).fill(root) });
  memory.view.setBigUint64(root, BigInt(root) | 0x83n, true);
  assert.equal(walk(walker, 0x123n), { physical: undefined, tables: [root] });
});

test('PageWalker.walk: PAE paging has three levels and 32-bit addresses', () => {
  const memory = new FakeMemory(4 * MIB, 0x10_1000);
  const root = gpa(0x10_0fe0);
  const walker = new PageWalker(memory);
  walker.configure(PG, root | 0x1f, 0x1234, PAE, 0);
  const [, ...tables] = memory.map(root, 3, 0xc012_3000n, 0x20_0000n, { flags: NX | 0x3n });
  const expected = { physical: 0x20_0456, tables: [0x10_0000, ...tables] };
  assert.equal(walk(walker, 0xc012_3456n), expected);
  assert.equal(walk(walker, 0x9_c012_3456n), expected);
  memory.map(root, 3, 0x4020_0000n, 0x8_0000_0000n, { level: 2 });
  assert.is(walk(walker, 0x403f_ffffn).physical, 0x8_001f_ffff);
});

test('PageWalker.walk: 32-bit paging has two levels, and 4 MiB pages with PSE', () => {
  const memory = new FakeMemory(4 * MIB, 0);
  const walker = new PageWalker(memory);
  const [directory, table] = [0x10_0000, 0x10_1000];
  memory.view.setUint32(directory + 4 * 0x300, table | 3, true);
  memory.view.setUint32(table + 4 * 0x123, 0x20_0003, true);
  memory.view.setUint32(directory + 4, 0x0040_6083, true);
  walker.configure(PG, directory, 0, PSE, 0);
  assert.equal(walk(walker, 0xc012_3456n), { physical: 0x20_0456, tables: [directory, table] });
  assert.is(walk(walker, 0xc012_4456n).physical, undefined);
  assert.equal(walk(walker, 0x7f_ffffn), { physical: 0x3_007f_ffff, tables: [directory] });
  walker.configure(PG, directory, 0, 0, 0);
  assert.is(walk(walker, 0x7f_ffffn).physical, undefined, 'without PSE bit 7 means nothing');
});

test('PageWalker.walk: random tables end the walk within RAM', () => {
  const { memory, root, walker } = longMode(5);
  for (let at = 0; at < memory.bytes.length; at += 4)
    memory.view.setUint32(at, Math.imul(at + 12_345, 2_654_435_761), true);
  for (let i = 0; i < 100_000; i++) {
    const random = BigInt(Math.imul(i, 2_246_822_519) >>> 0) * 0x1_0001_0001n;
    for (const table of walk(walker, random).tables) assert.ok(table >= 0 && table < 4 * MIB);
  }
  assert.ok(root > 0);
});

test('PageWalker.walk: allocates nothing', () => {
  const { memory, root, walker } = longMode(4);
  memory.map(root, 4, 0xffff_8881_2345_6000n, 0x20_3000n);
  const [addressLow, addressHigh] = [low(0xffff_8881_2345_6000n), high(0xffff_8881_2345_6000n)];
  const walkMany = (times: number) => {
    for (let i = 0; i < times; i++) walker.walk(addressLow, addressHigh);
  };
  walkMany(50_000);
  const before = process.memoryUsage().heapUsed;
  walkMany(200_000);
  assert.ok((process.memoryUsage().heapUsed - before) / 200_000 < 8);
});

test.run();
