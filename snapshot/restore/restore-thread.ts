/** The thread that loads the memory of restored VMs. */
import { serveIoThread } from '../../vmm/io/io-thread.ts';
import { loadEagerly } from './eager.ts';
import type { LoadTarget, MemorySource } from './memory-source.ts';

export interface RestoreMessage {
  readonly load: MemorySource;
  readonly into: LoadTarget;
}

serveIoThread<RestoreMessage>(
  () =>
    ({ load, into }) =>
      loadEagerly(load, into),
);
