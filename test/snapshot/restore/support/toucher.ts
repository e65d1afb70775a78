/** A thread that looks at one byte of memory, as a device's does, and tells when it is about to and what it saw. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Hva } from '../../../../vmm/memory/address.ts';
import { look } from '../../../../vmm/memory/window.ts';

parentPort?.postMessage('looks');
const [byte] = look(workerData as Hva, 1);
parentPort?.postMessage(byte);
