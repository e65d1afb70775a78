/** The thread that loads the memory of one restored VM: all of it at once, or as the VM asks for it. */
import { serializeError } from '../../vmm/errors.ts';
import { serveIoThread } from '../../vmm/io/io-thread.ts';
import type { MemorySource } from '../image/memory-source.ts';
import { type LoadTarget, loadEagerly } from './eager.ts';
import { Pager, type PagerSetup } from './pager.ts';

export type RestoreMessage =
  | { readonly load: MemorySource; readonly into: LoadTarget }
  | { readonly page: PagerSetup; readonly done: SharedArrayBuffer }
  | 'failure';

serveIoThread<RestoreMessage>(loop => {
  let failure: unknown;
  return message => {
    if (message === 'failure') return failure === undefined ? undefined : serializeError(failure);
    if ('load' in message) return loadEagerly(message.load, message.into);
    const done = new Int32Array(message.done);
    let finished = false;
    const pager = new Pager(message.page, loop, error => {
      failure = error;
      finished = true;
      Atomics.store(done, 0, 1);
      Atomics.notify(done, 0);
    });
    loop.onBeforeSleep(() => {
      if (finished) return -1;
      if (pager.prefetch()) return 0;
      if (!finished) pager.finish();
      return -1;
    });
    return undefined;
  };
});
