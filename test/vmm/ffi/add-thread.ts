/** A thread of compliance.ts: adds to a word by its address. */
import { workerData } from 'node:worker_threads';
import { selectBackend } from '../../../vmm/ffi/select.ts';
import type { Hva } from '../../../vmm/memory/address.ts';

const { name, address, count } = workerData as { name: string; address: Hva; count: number };
const backend = await selectBackend(name);
const words = new Int32Array(backend.view(address, 4));
for (let i = 0; i < count; i++) Atomics.add(words, 0, 1);
