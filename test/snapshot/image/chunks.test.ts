import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Compression, compressions } from '../../../snapshot/image/compression-names.ts';
import type { MemorySource } from '../../../snapshot/image/memory-source.ts';
import { KIB, PAGE_SIZE } from '../../../vmm/memory/address.ts';
import { Random } from '../../support/random.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { closeSource, imagePath, load, SampleMemory, sourceOf } from './images.ts';

const test = suite('ChunkWriter and ChunkReader');
const folder = temporaryFolder();
let number = 0;

/** Makes some pages zero, some noise that no codec makes shorter, some text. */
function scribble({ bytes }: SampleMemory, random: Random, pages: number): void {
  for (let i = 0; i < pages; i++) {
    const page = bytes.subarray(random.below(bytes.length / PAGE_SIZE) * PAGE_SIZE).subarray(0, PAGE_SIZE);
    const kind = random.below(4);
    if (kind === 0) page.fill(0);
    else if (kind === 1) for (let at = 0; at < PAGE_SIZE; at++) page[at] = random.below(256);
    else if (kind === 2) page.fill(random.below(256));
    else page[random.below(PAGE_SIZE)] = 1 + random.below(255);
  }
}

function chainOf(kinds: readonly Compression[], seed: number): void {
  const random = new Random(seed);
  const memory = new SampleMemory(9 * 64 * KIB + 3 * PAGE_SIZE, 64 * KIB);
  let base: MemorySource | undefined;
  const taken: { source: MemorySource; content: Uint8Array }[] = [];
  scribble(memory, random, 60);
  for (const compression of kinds) {
    // Chunks that were written torn, and come again.
    const saved = memory.save(imagePath(folder, number++), compression, base);
    for (const chunk of [0, 3, 8, 9]) {
      scribble(memory, random, 5);
      const { address, length } = memory.chunk(chunk);
      saved.writer.write(chunk, address, length, true);
    }
    for (let chunk = 0; chunk < memory.chunkCount; chunk++) {
      const { address, length } = memory.chunk(chunk);
      saved.writer.write(chunk, address, length, true);
    }
    base = sourceOf(memory, saved, compression, base);
    taken.push({ source: base, content: Uint8Array.from(memory.bytes) });
    scribble(memory, random, 12);
  }
  for (const [i, { source, content }] of taken.entries()) {
    assert.ok(Buffer.from(load(source)).equals(Buffer.from(content)), `seed ${seed}, image ${i} of ${kinds}`);
  }
  closeSource(base as MemorySource);
}

for (const compression of compressions)
  test(`what ${compression} writes is what is read, in a chain of 6`, () => {
    for (let seed = 1; seed <= 4; seed++) chainOf(Array(6).fill(compression), seed);
  });

test('images of one chain may be compressed in different ways', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = new Random(seed);
    chainOf(
      Array.from({ length: 7 }, () => random.pick(compressions)),
      seed,
    );
  }
});

test.run();
