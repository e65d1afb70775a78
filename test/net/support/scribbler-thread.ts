/** Writes random words over the queues of an attacker while the switch reads them, as another vCPU could. */
import { workerData } from 'node:worker_threads';
import { Random } from '../../../net/random.ts';
import { gpa } from '../../../vmm/memory/address.ts';
import { GuestMemory } from '../../../vmm/memory/guest-memory.ts';
import type { RamDescriptor } from '../../../vmm/memory/ram.ts';

const { ram, stop, seed, range } = workerData as {
  ram: RamDescriptor;
  /** The second word becomes 1 when the thread begins; the first makes it end. */
  stop: Int32Array;
  seed: number;
  range: { start: number; length: number };
};
const memory = new GuestMemory(ram);
const random = new Random(seed);
Atomics.store(stop, 1, 1);
Atomics.notify(stop, 1);
while (Atomics.load(stop, 0) === 0) {
  const at = gpa(range.start + 2 * random.below(range.length / 2));
  const value = random.below(3) === 0 ? random.below(65536) : random.below(16);
  memory.writeU16(at, value);
}
