/** What every copy-on-write mechanism promises, tested on RAM without a guest. */
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type CopyPool, CopyPools } from '../../../snapshot/cow/copy-pool.ts';
import type { CowMechanism, ProtectedRam } from '../../../snapshot/cow/mechanism.ts';
import type { ImageTarget } from '../../../snapshot/saver/chunk-writer.ts';
import type { SaveResult } from '../../../snapshot/saver/saver.ts';
import type { SaverMessage } from '../../../snapshot/saver/saver-thread.ts';
import { errno } from '../../../vmm/ffi/errno.ts';
import { pread } from '../../../vmm/ffi/libc.ts';
import { IoThread } from '../../../vmm/io/io-thread.ts';
import { gpa, HUGE_PAGE_SIZE, hvaOffset, KIB, MIB, PAGE_SIZE } from '../../../vmm/memory/address.ts';
import { CopyOnWrite } from '../../../vmm/memory/copy-on-write.ts';
import { CowCounter } from '../../../vmm/memory/cow-state.ts';
import { GuestMemory } from '../../../vmm/memory/guest-memory.ts';
import { bytesAt } from '../../../vmm/memory/native.ts';
import { allocateRam, type Ram } from '../../../vmm/memory/ram.ts';
import { sameBytes } from '../../support/same-bytes.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { type Suite, testUnless } from '../../support.ts';

const RAM_BYTES = 16 * MIB;
/** From here on nobody ever writes before the test does. */
const UNTOUCHED = 8 * MIB;
const chunkSizes = [PAGE_SIZE, 64 * KIB, HUGE_PAGE_SIZE];

const folder = temporaryFolder();

/** RAM under one mechanism, with the buffers and the saver of a snapshot. */
class Rig {
  readonly ram: Ram;
  readonly cow: CopyOnWrite;
  readonly memory: GuestMemory;
  readonly mechanism: CowMechanism;
  /** What the saver said last. */
  saved: SaveResult | undefined;
  private readonly pools = new CopyPools();
  private readonly pool: CopyPool;
  private readonly saver = new IoThread<SaverMessage, SaveResult>(
    import.meta.url,
    '../../../snapshot/saver/saver-thread',
  );

  constructor(create: (of: ProtectedRam) => CowMechanism, chunkSize: number, hugePages: boolean) {
    this.ram = allocateRam(RAM_BYTES, { hugePages });
    this.cow = new CopyOnWrite(this.ram.cow, this.ram.address, this.ram.length);
    this.memory = new GuestMemory(this.ram);
    this.pool = this.pools.take(RAM_BYTES, chunkSize);
    this.mechanism = create(this);
    for (let page = 0; page < UNTOUCHED; page += PAGE_SIZE) this.memory.writeU32(gpa(page), page + 1);
  }

  arm(): void {
    const { chunkSize, address: poolAddress, slotCount } = this.pool;
    this.mechanism.arm({ chunkSize, poolAddress, slotCount });
  }

  /** Runs the saver to its end, and answers what it wrote. */
  async save(): Promise<Uint8Array> {
    const path = join(folder, 'image');
    const fd = openSync(path, 'w+');
    try {
      const { address, length, cow } = this.ram;
      const target: ImageTarget = { fd, compression: 'none' };
      this.saved = await this.saver.request({ save: { ram: { address, length, cow }, target } });
    } finally {
      closeSync(fd);
    }
    const image = new Uint8Array(RAM_BYTES);
    image.set(readFileSync(path));
    return image;
  }

  content(): Uint8Array {
    return Uint8Array.from(bytesAt(this.ram.address, RAM_BYTES));
  }

  /** Writes 8 bytes of 0xee behind the write guard's back, as KVM may do; 0 or -errno. */
  writeByKernel(offset: number): number {
    const path = join(folder, 'bytes');
    writeFileSync(path, Buffer.alloc(8, 0xee));
    const fd = openSync(path, 'r');
    const result = pread(fd, hvaOffset(this.ram.address, offset), 8, 0);
    closeSync(fd);
    return Math.min(result, 0);
  }

  /** Bytes of RAM in huge pages, as the kernel tells (proc(5), smaps). */
  hugeBytes(): number {
    let inside = false;
    let bytes = 0;
    for (const line of readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
      const [, start] = /^([0-9a-f]+)-[0-9a-f]+ /.exec(line) ?? [];
      if (start !== undefined) {
        const address = Number.parseInt(start, 16);
        inside = address >= this.ram.address && address < this.ram.address + RAM_BYTES;
      }
      const [, size] = /^AnonHugePages:\s+(\d+) kB/.exec(line) ?? [];
      if (inside && size !== undefined) bytes += Number(size) * KIB;
    }
    return bytes;
  }

  async stop(): Promise<void> {
    await this.mechanism.close();
    await this.saver.stop();
    this.pools.close();
    this.ram.free();
  }
}

/** Registers the tests. `tellsKernel`: a write that the guard did not see is saved too, instead of being refused. */
export function mechanismCompliance(
  test: Suite,
  obstacle: string | undefined,
  create: (of: ProtectedRam) => CowMechanism,
  { tellsKernel }: { readonly tellsKernel: boolean },
): void {
  const promise = (
    name: string,
    body: (rig: Rig) => Promise<void> | void,
    { chunkSize = HUGE_PAGE_SIZE, hugePages = true } = {},
  ) =>
    testUnless(obstacle, test, name, async () => {
      const rig = new Rig(create, chunkSize, hugePages);
      try {
        await rig.mechanism.prepare(chunkSize);
        await body(rig);
      } finally {
        await rig.stop();
      }
    });

  for (const chunkSize of chunkSizes) {
    for (const hugePages of [true, false]) {
      const kind = `chunks of ${chunkSize / KIB} KiB, ${hugePages ? 'huge' : 'small'} pages`;
      const options = { chunkSize, hugePages };

      promise(`a save has what was there when arm() was called: ${kind}`, saveIsAsArmed, options);

      promise(
        `writes unseen by the guard are ${tellsKernel ? 'saved first' : 'refused'}: ${kind}`,
        rig => unseenWrite(rig, tellsKernel),
        options,
      );
    }
  }

  for (const chunkSize of chunkSizes) {
    promise(
      `pages saved eagerly are writable at once, and saved as they were: chunks of ${chunkSize / KIB} KiB`,
      rig => eagerPages(rig, tellsKernel),
      { chunkSize },
    );
  }

  promise(
    'beside eager pages a write has only its neighbours copied, at last the whole chunk',
    partsOfChunks,
  );
  promise(
    'the first pages that writers wait for are told, and the eager ones that have changed',
    async rig => {
      rig.arm();
      rig.cow.saveEagerly(3, 2);
      rig.memory.writeU32(gpa(3 * PAGE_SIZE), 1);
      rig.memory.writeU32(gpa(HUGE_PAGE_SIZE + 5 * PAGE_SIZE), 1);
      rig.memory.writeU32(gpa(HUGE_PAGE_SIZE + 6 * PAGE_SIZE), 1);
      await rig.save();
      rig.mechanism.disarm();
      assert.equal(rig.saved?.writes, { first: [512 + 5], changed: [3] });
    },
  );

  promise('memory given back while it is protected is saved before, and reads as zeros after', async rig => {
    const before = rig.content();
    rig.arm();
    const at = 2 * HUGE_PAGE_SIZE;
    assert.is(rig.memory.discard(gpa(at - PAGE_SIZE), HUGE_PAGE_SIZE + 2 * PAGE_SIZE), HUGE_PAGE_SIZE);
    assert.is(rig.memory.readU32(gpa(at)), 0);
    assert.is(rig.memory.readU32(gpa(at - PAGE_SIZE)), at - PAGE_SIZE + 1, 'the rest of the range stays');
    rig.memory.writeU32(gpa(at), 5);
    sameBytes(await rig.save(), before);
    rig.mechanism.disarm();
    assert.is(rig.memory.readU32(gpa(at)), 5);
  });

  promise(
    'memory given back before it is protected is protected as the rest, and is huge again',
    async rig => {
      await rig.mechanism.close();
      const huge = rig.hugeBytes();
      assert.is(rig.memory.discard(gpa(0), UNTOUCHED), UNTOUCHED);
      assert.is(rig.hugeBytes(), 0);
      for (let at = 0; at < UNTOUCHED; at += PAGE_SIZE) rig.memory.writeU32(gpa(at), 7);
      assert.is(rig.hugeBytes(), huge);
      rig.memory.discard(gpa(0), HUGE_PAGE_SIZE);
      await rig.mechanism.prepare(HUGE_PAGE_SIZE);
      await saveIsAsArmed(rig);
    },
  );

  promise('a writer does not wait for the saver, wherever that is with a chunk', async rig => {
    rig.arm();
    const { state } = rig.cow;
    const remaining = state.remaining;
    assert.ok(state.claimForSave(0));
    assert.ok(state.claimForSave(1) && state.finishSave(1), 'saved, and still protected');
    rig.memory.writeU32(gpa(0), 7);
    rig.memory.writeU32(gpa(HUGE_PAGE_SIZE), 8);
    assert.not.ok(state.finishSave(0), 'the writer has taken it away');
    assert.is(state.counters.vmm_write_saves, 1, 'what is saved is not copied');
    assert.is(state.remaining, remaining - 2);
    // As the saver does when it goes on: it was not the first.
    rig.cow.unprotect(1);
    state.release(1);
    assert.is(state.remaining, remaining - 2);
    rig.mechanism.disarm();
  });

  promise(
    'a writer that comes when the epoch has ended finds nothing to do, whatever has become of its chunk',
    async rig => {
      rig.arm();
      const { state } = rig.cow;
      assert.ok(state.claimForSave(0) && state.finishSave(0), 'saved, and still protected');
      assert.ok(state.claimForSave(1));
      rig.mechanism.disarm();
      await rig.mechanism.close();
      for (const chunk of [0, 1, 2]) assert.not.ok(rig.cow.save(chunk, CowCounter.cow_faults));
      assert.not.ok(state.hasWriters);
      await rig.mechanism.prepare(HUGE_PAGE_SIZE);
    },
  );

  promise('a second arm() protects everything again', async rig => {
    for (let turn = 0; turn < 3; turn++) await saveIsAsArmed(rig);
  });

  promise('disarm() in the middle leaves all memory writable and forgets the rest', async rig => {
    rig.arm();
    rig.memory.writeU32(gpa(0), 7);
    rig.mechanism.disarm();
    for (let offset = 0; offset < RAM_BYTES; offset += PAGE_SIZE) rig.memory.writeU32(gpa(offset), 9);
    assert.is(rig.writeByKernel(UNTOUCHED), 0);
    assert.is(rig.cow.state.counters.vmm_write_saves, 1);
    await saveIsAsArmed(rig);
  });

  promise('huge pages stay huge through snapshots', async rig => {
    for (let offset = 0; offset < RAM_BYTES; offset += PAGE_SIZE) rig.memory.writeU32(gpa(offset), 9);
    const before = rig.hugeBytes();
    for (let turn = 0; turn < 2; turn++) await saveIsAsArmed(rig);
    assert.is(rig.hugeBytes(), before);
  });

  promise('close() may be called twice, and prepare() after it', async rig => {
    await rig.mechanism.close();
    await rig.mechanism.close();
    await rig.mechanism.prepare(HUGE_PAGE_SIZE);
    await saveIsAsArmed(rig);
  });
}

async function saveIsAsArmed(rig: Rig): Promise<void> {
  const before = rig.content();
  rig.arm();
  // At least this one before the saver, however busy the machine is.
  rig.memory.writeU32(gpa(RAM_BYTES - PAGE_SIZE + 8), 0);
  const saving = rig.save();
  // Every third page, from the end, so that the saver is met halfway: touched and untouched memory alike.
  for (let offset = RAM_BYTES - PAGE_SIZE; offset >= 0; offset -= 3 * PAGE_SIZE) {
    rig.memory.writeU32(gpa(offset + 8), offset);
  }
  const image = await saving;
  assert.ok(Buffer.from(image.buffer).equals(before), 'the image is what was there');
  rig.mechanism.disarm();
  const { state } = rig.cow;
  const { vmm_write_saves, chunks_active, cow_faults } = state.counters;
  assert.is(vmm_write_saves + chunks_active + cow_faults, RAM_BYTES / state.chunkSize, 'each once');
  assert.ok(vmm_write_saves > 0);
  assert.is(rig.memory.readU32(gpa(RAM_BYTES - PAGE_SIZE + 8)), RAM_BYTES - PAGE_SIZE);
}

async function unseenWrite(rig: Rig, tellsKernel: boolean): Promise<void> {
  const before = rig.content();
  // In four different chunks of any size.
  const places = [0, UNTOUCHED / 2 - 8, UNTOUCHED, RAM_BYTES - 8];
  rig.arm();
  for (const place of places) {
    assert.is(rig.writeByKernel(place), tellsKernel ? 0 : -errno.EFAULT);
    // Allowed at the latest when the chunk has been saved.
    rig.cow.save(Math.floor(place / rig.cow.state.chunkSize), CowCounter.vmm_write_saves);
    assert.is(rig.writeByKernel(place), 0);
  }
  const image = await rig.save();
  rig.mechanism.disarm();
  assert.ok(Buffer.from(image.buffer).equals(before), 'the image is what was there');
  if (tellsKernel) assert.ok(rig.cow.state.counters.cow_faults > 0);
  for (const place of places) assert.is(rig.memory.readU8(gpa(place)), 0xee);
}

async function eagerPages(rig: Rig, tellsKernel: boolean): Promise<void> {
  const before = rig.content();
  // Two that the saver will come upon, and two whose chunks a writer takes before.
  const pages = [3, 700, 1030, UNTOUCHED / PAGE_SIZE + 5];
  rig.arm();
  for (const page of pages) rig.cow.saveEagerly(page, 1);
  rig.cow.saveEagerly(pages[0] as number, 1);
  for (const page of pages) assert.is(rig.writeByKernel(page * PAGE_SIZE + 16), 0, `page ${page}`);
  const beside = ((pages[0] as number) + 1) * PAGE_SIZE;
  if (!tellsKernel) assert.is(rig.writeByKernel(beside), -errno.EFAULT);
  for (const page of pages.slice(2)) rig.memory.writeU32(gpa(page * PAGE_SIZE + 2048), 1);
  const image = await rig.save();
  rig.mechanism.disarm();
  assert.ok(Buffer.from(image.buffer).equals(before), 'the image is what was there');
  for (const page of pages) assert.is(rig.memory.readU8(gpa(page * PAGE_SIZE + 16)), 0xee);
}

async function partsOfChunks(rig: Rig): Promise<void> {
  const before = rig.content();
  rig.arm();
  rig.cow.saveEagerly(0, 1);
  rig.cow.saveEagerly(512 + 100, 1);
  const write = (page: number) => rig.memory.writeU32(gpa(page * PAGE_SIZE + 8), 5);
  const counts = () => {
    const { vmm_write_saves, vmm_write_saves_partial } = rig.cow.state.counters;
    return { vmm_write_saves, vmm_write_saves_partial };
  };
  assert.equal(counts(), { vmm_write_saves: 0, vmm_write_saves_partial: 0 });
  // The eager page, another part of its chunk, the same part again, and the part that the eager page is in.
  for (const page of [0, 40, 41, 1]) write(page);
  assert.equal(counts(), { vmm_write_saves: 0, vmm_write_saves_partial: 2 });
  // Across a border between parts; the first of them is there already.
  rig.memory.writeU32(gpa(64 * PAGE_SIZE - 2), 5);
  assert.equal(counts(), { vmm_write_saves: 0, vmm_write_saves_partial: 3 });
  // A chunk without eager pages, as a whole; one of which ever more is written; and much at once.
  write(1024);
  assert.equal(counts(), { vmm_write_saves: 1, vmm_write_saves_partial: 3 });
  for (let page = 512; page < 1024; page++) write(page);
  assert.is(counts().vmm_write_saves, 2);
  const parts = counts().vmm_write_saves_partial;
  assert.ok(parts > 4 && parts < 16, `${parts} parts`);
  rig.memory.hostRangeForWrite(gpa(100 * PAGE_SIZE), 100 * PAGE_SIZE);
  assert.equal(counts(), { vmm_write_saves: 3, vmm_write_saves_partial: parts });
  const image = await rig.save();
  rig.mechanism.disarm();
  sameBytes(image, before);
  const { vmm_write_saves, chunks_active, cow_faults, pages_eager } = rig.cow.state.counters;
  assert.is(vmm_write_saves + chunks_active + cow_faults, RAM_BYTES / HUGE_PAGE_SIZE, 'each chunk once');
  assert.is(pages_eager, 2);
}
