import type { MachineSoftware } from '../../vmm/machine-parts.ts';
import { openMemorySource, type SnapshotChain } from '../image/chain.ts';
import { renewMacs } from './identity.ts';
import { loadVmState } from './load-state.ts';
import { MemoryLoader } from './memory-loader.ts';

export interface RestoreOptions {
  /** Let the VM run before all of its memory is there. Falls back to eager where the kernel does not allow it. */
  readonly lazy: boolean;
  /** Memory turned out to be damaged while the VM ran on it already. */
  readonly onDamage: (error: Error) => void;
  /** Network devices get the addresses of the new machine's model, and drivers are told. */
  readonly newMacs?: boolean;
  /** If given, the guest's clocks move on by what it answers, in nanoseconds, instead of continuing at the cut. */
  readonly elapsed_ns?: () => bigint;
}

/** A VM of a snapshot, as a new machine takes it in. Throws TSVMM_E_SNAPSHOT_CORRUPT on install. */
export function restoredSoftware(
  chain: SnapshotChain,
  name: string,
  options: RestoreOptions,
): MachineSoftware {
  const { elapsed_ns = () => 0n } = options;
  const [reader] = chain;
  let clock_ns = 0n;
  return {
    release: ({ vm }) => vm.setClock(clock_ns + elapsed_ns()),
    install: async parts => {
      const state = reader.state(reader.vm(name));
      clock_ns = state.clock.clock;
      const memory = new MemoryLoader(openMemorySource(chain, name), parts, options.onDamage);
      try {
        await memory.load(options.lazy);
        loadVmState(state, parts, { elapsed_ns: elapsed_ns() });
        if (options.newMacs) renewMacs(parts);
      } catch (error) {
        await memory.close();
        throw error;
      }
      return () => memory.close();
    },
  };
}
