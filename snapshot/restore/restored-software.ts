import type { MachineSoftware } from '../../vmm/machine-parts.ts';
import { openMemorySource, type SnapshotChain } from '../image/chain.ts';
import { renewMacs } from './identity.ts';
import { loadVmState } from './load-state.ts';
import { MemoryLoader } from './memory-loader.ts';
import type { PagingState } from './paging-state.ts';
import { RestoreThreads } from './restore-threads.ts';

export interface RestoreOptions {
  /** Let the VM run before all of its memory is there. Falls back to eager where the kernel does not allow it. */
  readonly lazy: boolean;
  /** Memory turned out to be damaged while the VM ran on it already. */
  readonly onDamage: (error: Error) => void;
  /** Network devices get the addresses of the new machine's model, and drivers are told. */
  readonly newMacs?: boolean;
  /** If given, the guest's clocks move on by what it answers, in nanoseconds, instead of continuing at the cut. */
  readonly elapsed_ns?: () => bigint;
  /** Where threads may have been started ahead. */
  readonly threads?: RestoreThreads;
}

export interface RestoredSoftware extends MachineSoftware {
  /** Of memory that comes lazily, once it is installed. */
  readonly paging: PagingState | undefined;
}

/** A VM of a snapshot, as a new machine takes it in. Throws TSVMM_E_SNAPSHOT_CORRUPT on begin and install. */
export function restoredSoftware(
  chain: SnapshotChain,
  name: string,
  options: RestoreOptions,
): RestoredSoftware {
  const { elapsed_ns = () => 0n, threads = new RestoreThreads() } = options;
  const [reader] = chain;
  let clock_ns = 0n;
  let memory: MemoryLoader | undefined;
  let loading: Promise<void> | undefined;
  return {
    get paging() {
      return memory?.paging;
    },
    begin: ram => {
      const loader = new MemoryLoader(openMemorySource(chain, name), threads.take(), ram, options.onDamage);
      memory = loader;
      loading = loader.load(options.lazy);
      // install() hears of it, if it comes to that.
      loading.catch(() => {});
      return () => loader.close();
    },
    install: async parts => {
      const state = reader.state(reader.vm(name));
      clock_ns = state.clock.clock;
      await loading;
      loadVmState(state, parts, { elapsed_ns: elapsed_ns() });
      if (options.newMacs) renewMacs(parts);
      await memory?.built();
    },
    release: ({ vm }) => {
      vm.setClock(clock_ns + elapsed_ns());
      memory?.released();
    },
  };
}
