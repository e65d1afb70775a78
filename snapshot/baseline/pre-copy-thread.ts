/** The thread that copies one VM's memory while it is being written. */
import { TsvmmError } from '../../vmm/errors.ts';
import { checked } from '../../vmm/ffi/errno.ts';
import { fdatasync } from '../../vmm/ffi/libc.ts';
import { serveIoThread } from '../../vmm/io/io-thread.ts';
import { PreCopier } from './pre-copier.ts';
import { type PreCopyMessage, RestDone } from './pre-copy-messages.ts';

serveIoThread<PreCopyMessage>(loop => {
  let copier: PreCopier | undefined;
  loop.onClose(() => copier?.close());
  const running = (): PreCopier => {
    if (copier === undefined) throw new TsvmmError('TSVMM_E_INTERNAL', 'no pre-copy was started');
    return copier;
  };
  return message => {
    if (message === 'written') return running().copyWritten();
    if (message === 'close') {
      copier?.close();
      copier = undefined;
      return undefined;
    }
    if ('start' in message) {
      copier = new PreCopier(message.start);
      return copier.copyAll();
    }
    if ('rest' in message) return copyRest(running(), message.rest);
    checked(fdatasync(message.sync), 'fdatasync of memory.img');
    return running().finish();
  };
});

function copyRest(copier: PreCopier, done: Int32Array): number {
  let outcome: number = RestDone.FAILED;
  try {
    const count = copier.copyRest();
    outcome = RestDone.COPIED;
    return count;
  } finally {
    Atomics.store(done, 0, outcome);
    Atomics.notify(done, 0);
  }
}
