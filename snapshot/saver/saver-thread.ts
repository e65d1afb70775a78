/** A thread of the saver pool: saves one VM's memory after another. */

import { setPriority } from 'node:os';
import { checked } from '../../vmm/ffi/errno.ts';
import { fdatasync, memset } from '../../vmm/ffi/libc.ts';
import { serveIoThread } from '../../vmm/io/io-thread.ts';
import { type Hva, hvaOffset } from '../../vmm/memory/address.ts';
import { type SaveRequest, saveMemory } from './saver.ts';

export type SaverMessage =
  | { readonly save: SaveRequest }
  /** Waits until what was written to this file descriptor is on the disk. */
  | { readonly sync: number }
  /** Touches memory ahead of its use, so that a guest that waits for a copy does not wait for the kernel to zero it. */
  | { readonly touch: TouchRequest };

interface TouchRequest {
  readonly address: Hva;
  readonly length: number;
  readonly step: number;
  /** When this time is over, the rest stays as it is. */
  readonly limit_ms: number;
}

/**
 * About a tenth of a guest's share (sched(7)): guests have others waiting for them, and a saver that has not got to a chunk
 * keeps nobody waiting. Not less, or a busy host would save a large VM for minutes.
 */
const SAVER_NICE = 10;

// Of this thread alone: setpriority(2), C library/kernel differences.
setPriority(SAVER_NICE);
serveIoThread<SaverMessage>(() => message => {
  if ('save' in message) return saveMemory(message.save);
  if ('sync' in message) {
    checked(fdatasync(message.sync), 'fdatasync of memory.img');
    return undefined;
  }
  touch(message.touch);
  return undefined;
});

function touch({ address, length, step, limit_ms }: TouchRequest): void {
  const deadline = performance.now() + limit_ms;
  for (let offset = 0; offset < length && performance.now() < deadline; offset += step)
    memset(hvaOffset(address, offset), 0, 1);
}
