import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testUnless } from '../../support.ts';
import { fatalOf, imageOrObstacle, Microvm } from './microvm.ts';

const test = suite('bench guest: changed memory is noticed');
const { image, obstacle } = await imageOrObstacle();
const directory = mkdtempSync(join(tmpdir(), 'tsvmm-guest-ram-'));
test.after(() => rmSync(directory, { recursive: true }));

const MIB = 1 << 20;
const PAGE_BYTES = 4096;
const LARGE_PAGE_BYTES = 2 * MIB;
const MEMORY_BYTES = 64 * MIB;
const VICTIM = 5; // a page of the dirty area

/** The guest's RAM, which is a file. */
class GuestRam {
  readonly path = join(directory, 'ram');
  readonly devices = ['-object', `memory-backend-file,id=ram,size=64M,mem-path=${this.path},share=on`];
  private readonly file: number;

  constructor() {
    this.file = openSync(this.path, 'w+');
  }

  words(address: number): BigUint64Array {
    const words = new BigUint64Array(2);
    readSync(this.file, words, 0, 16, address);
    return words;
  }

  write(address: number, words: BigUint64Array): void {
    writeSync(this.file, words, 0, 16, address);
  }

  /** The stamp of the victim page: workloads/page_stamp.h. */
  findStamp(): number {
    for (let area = 0; area < MEMORY_BYTES; area += LARGE_PAGE_BYTES) {
      const address = area + VICTIM * (PAGE_BYTES + 64);
      if ((this.words(address)[0] ?? 0n) >> 32n === BigInt(VICTIM)) return address;
    }
    throw new Error('no stamped page found');
  }

  close(): void {
    closeSync(this.file);
  }
}

async function runAndSpoil(spoil: (words: BigUint64Array) => void): Promise<string | undefined> {
  const ram = new GuestRam();
  const guest = new Microvm(image, 'dirty size=64K rate=100 stat=100 run=10', {
    devices: [...ram.devices, '-machine', 'memory-backend=ram'],
  });
  try {
    await guest.until(({ event, ops }) => event === 'stat' && (ops as number) > 16);
    const address = ram.findStamp();
    const words = ram.words(address);
    spoil(words);
    ram.write(address, words);
    return fatalOf(await guest.ended);
  } finally {
    guest.kill();
    ram.close();
  }
}

testUnless(obstacle, test, 'a flipped bit is fatal', async () => {
  const why = await runAndSpoil(words => {
    words[1] = (words[1] ?? 0n) ^ (1n << 40n);
  });
  assert.match(why ?? '', /^dirty: page 5 at 0x.* is not what was written/);
});

testUnless(obstacle, test, 'a page of an earlier sweep, valid in itself, is fatal', async () => {
  const multiplier = 0x9e3779b97f4a7c15n;
  const why = await runAndSpoil(words => {
    const first = (words[0] ?? 0n) - 1n;
    words[0] = first;
    words[1] = ~(first * multiplier);
  });
  assert.match(why ?? '', /^dirty: page 5 at 0x.* is not what was written/);
});

test.run();
