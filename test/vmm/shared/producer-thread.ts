/** A thread of byte-ring.test.ts: pushes a known sequence of bytes. */
import { workerData } from 'node:worker_threads';
import { ByteRing } from '../../../vmm/shared/byte-ring.ts';

const { buffer, count } = workerData as { buffer: SharedArrayBuffer; count: number };
const ring = new ByteRing(buffer);
for (let i = 0; i < count; ) if (ring.free > 0 && ring.push((i * 31) & 0xff)) i++;
