import { closeSync } from 'node:fs';
import { deserializeError, type SerializedError } from '../../vmm/errors.ts';
import { IoThread } from '../../vmm/io/io-thread.ts';
import type { MachineParts, MachineSoftware } from '../../vmm/machine-parts.ts';
import { CowState } from '../../vmm/memory/cow-state.ts';
import {
  RegisterMode,
  UserFaultFd,
  UserfaultFeature,
  userfaultfdFeatures,
} from '../../vmm/memory/userfaultfd.ts';
import type { ManifestVm } from '../image/manifest.ts';
import type { SnapshotReader } from '../image/reader.ts';
import { loadVmState } from './load-state.ts';
import { memorySource } from './memory-source.ts';
import type { RestoreMessage } from './restore-thread.ts';

export interface RestoreOptions {
  /** Let the VM run before all of its memory is there. Falls back to eager where the kernel does not allow it. */
  readonly lazy: boolean;
  /** Memory turned out to be damaged while the VM ran on it already. */
  readonly onDamage: (error: Error) => void;
}

/** A VM of a snapshot, as a new machine takes it in. Throws TSVMM_E_SNAPSHOT_CORRUPT on install. */
export function restoredSoftware(
  reader: SnapshotReader,
  vm: ManifestVm,
  options: RestoreOptions,
): MachineSoftware {
  let clock_ns = 0n;
  return {
    release: ({ vm: machine }) => machine.setClock(clock_ns),
    install: async parts => {
      const state = reader.state(vm);
      clock_ns = state.clock.clock;
      const source = memorySource(reader, vm);
      const { address, length } = parts.ram;
      const thread = new IoThread<RestoreMessage, unknown>(import.meta.url, './restore-thread');
      const end = async () => {
        await thread.stop();
        closeSync(source.fd);
      };
      try {
        const userfault = options.lazy ? openUserfault(parts) : undefined;
        if (userfault === undefined) {
          await thread.request({ load: source, into: { address, length } });
          loadVmState(state, parts);
          await end();
          return undefined;
        }
        // What is given back would be missing again, which the kernel would ask us for.
        const cow = new CowState(parts.ram.cow);
        cow.holdDiscards();
        const done = new SharedArrayBuffer(4);
        const page = {
          source,
          target: { address, length },
          userfaultFd: userfault.fd,
          canMove: userfault.canMove,
        };
        await thread.request({ page, done });
        loadVmState(state, parts);
        void watch(thread, done, options.onDamage, () => cow.allowDiscards());
        return async () => {
          await end();
          userfault.close();
        };
      } catch (error) {
        await end();
        throw error;
      }
    },
  };
}

/** Registers RAM as missing; undefined where the kernel refuses. */
function openUserfault({
  ram,
}: MachineParts): { fd: number; canMove: boolean; close: () => void } | undefined {
  const canMove = (userfaultfdFeatures() & UserfaultFeature.MOVE) !== 0n;
  try {
    const userfault = UserFaultFd.open(canMove ? UserfaultFeature.MOVE : 0n);
    userfault.register(ram.address, ram.length, RegisterMode.MISSING);
    return { fd: userfault.fd, canMove, close: () => userfault.close() };
  } catch {
    return undefined;
  }
}

async function watch(
  thread: IoThread<RestoreMessage, unknown>,
  done: SharedArrayBuffer,
  onDamage: RestoreOptions['onDamage'],
  onLoaded: () => void,
): Promise<void> {
  const { value } = Atomics.waitAsync(new Int32Array(done), 0, 0);
  if (typeof value !== 'string') await value;
  const failure = await thread.request('failure').catch(() => undefined);
  if (failure !== undefined) onDamage(deserializeError(failure as SerializedError));
  else onLoaded();
}
