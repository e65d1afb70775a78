/** A thread of the saver pool: saves one VM's memory after another. */

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
  | { readonly touch: { readonly address: Hva; readonly length: number; readonly step: number } };

serveIoThread<SaverMessage>(() => message => {
  if ('save' in message) return saveMemory(message.save);
  if ('sync' in message) {
    checked(fdatasync(message.sync), 'fdatasync of memory.img');
    return undefined;
  }
  const { address, length, step } = message.touch;
  for (let offset = 0; offset < length; offset += step) memset(hvaOffset(address, offset), 0, 1);
  return undefined;
});
