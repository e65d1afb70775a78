/** The thread that loads the memory of one restored VM: all of it at once, or as the VM asks for it. */
import { serializeError } from '../../vmm/errors.ts';
import { serveIoThread } from '../../vmm/io/io-thread.ts';
import type { MemorySource } from '../image/memory-source.ts';
import { type LoadTarget, loadEagerly } from './eager.ts';
import { Pager, type PagerSetup } from './pager.ts';

export type RestoreMessage =
  | { readonly load: MemorySource; readonly into: LoadTarget }
  | { readonly page: PagerSetup }
  /** Of the VM whose pages are loaded: see Pager. */
  | 'built'
  | 'released'
  /** Answers what went wrong, if anything has. */
  | 'failure';

serveIoThread<RestoreMessage>(loop => {
  let failure: unknown;
  let pager: Pager | undefined;

  function page(setup: PagerSetup): void {
    const created = new Pager(setup, loop, error => {
      failure = error;
    });
    pager = created;
    loop.onBeforeSleep(() => created.prefetch());
    loop.onClose(() => created.close());
  }

  return message => {
    switch (message) {
      case 'failure':
        return failure === undefined ? undefined : serializeError(failure);
      case 'built':
        if (failure !== undefined) throw failure;
        return pager?.built();
      case 'released':
        return pager?.released();
    }
    if ('load' in message) return loadEagerly(message.load, message.into);
    return page(message.page);
  };
});
