/** A thread of lock.test.ts: increments a plain word under the lock. */
import { workerData } from 'node:worker_threads';
import { SharedLock } from '../../../vmm/shared/lock.ts';

const { buffer, rounds } = workerData as { buffer: SharedArrayBuffer; rounds: number };
const words = new Int32Array(buffer);
const lock = new SharedLock(words, 0);
for (let i = 0; i < rounds; i++) {
  lock.acquire();
  const value = words[1] as number;
  // Time for another thread to come in between, were it not locked out.
  for (let spin = 0; spin < 50; spin++) Atomics.load(words, 2);
  words[1] = value + 1;
  lock.release();
}
