import { TsvmmError } from '../../vmm/errors.ts';
import type { MachineSoftware } from '../../vmm/machine-parts.ts';
import { wakeBalloons } from '../cow/hold-discards.ts';
import { openMemorySource, type SnapshotChain } from '../image/chain.ts';
import type { VmState } from '../image/vm-state.ts';
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
  /** Of memory that comes lazily, once that has begun. */
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
  let begun:
    | { readonly state: VmState; readonly memory: MemoryLoader; readonly loading: Promise<void> }
    | undefined;
  return {
    get paging() {
      return begun?.memory.paging;
    },
    begin: ram => {
      const state = reader.state(reader.vm(name));
      const memory = new MemoryLoader(openMemorySource(chain, name), threads.take(), ram, options.onDamage);
      const loading = memory.load(options.lazy);
      // install() hears of it, if it comes to that.
      loading.catch(() => {});
      begun = { state, memory, loading };
      return { letGo: () => memory.letGo(), end: () => memory.close() };
    },
    install: async parts => {
      if (begun === undefined)
        throw new TsvmmError('TSVMM_E_INTERNAL', 'nothing of the memory was asked for');
      await begun.loading;
      loadVmState(begun.state, parts, { elapsed_ns: elapsed_ns() });
      if (options.newMacs) renewMacs(parts);
      await begun.memory.built();
    },
    release: machine => {
      if (begun === undefined) return;
      machine.vm.setClock(begun.state.clock.clock + elapsed_ns());
      begun.memory.released(() => wakeBalloons(machine));
    },
  };
}
