import { TsvmmError } from '../../vmm/errors.ts';
import { IoThread } from '../../vmm/io/io-thread.ts';
import { Mechanism } from '../../vmm/memory/cow-state.ts';
import {
  RegisterMode,
  UserFaultFd,
  UserfaultFeature,
  userfaultfdFeatures,
} from '../../vmm/memory/userfaultfd.ts';
import type { CowMechanism, ProtectedRam } from './mechanism.ts';
import type { UserfaultMessage, UserfaultSetup } from './userfaultfd-thread.ts';

/**
 * Copy-on-write by userfaultfd(2): a write to protected RAM, by the guest or by anybody else, makes the writer wait in the
 * kernel, which tells a thread of ours the address. Exact, and no mapping is split; but each fault costs two changes of
 * threads.
 */
export function userfaultfdMechanism({ ram, cow }: ProtectedRam): CowMechanism {
  let userfault: UserFaultFd | undefined;
  let thread: IoThread<UserfaultMessage> | undefined;

  async function close(): Promise<void> {
    userfault?.unregister(ram.address, ram.length);
    await thread?.stop();
    userfault?.close();
    userfault = undefined;
    thread = undefined;
  }

  return {
    name: 'userfaultfd',
    prepare: async () => {
      userfault = openUserfault();
      try {
        userfault.register(ram.address, ram.length, RegisterMode.WP);
        const { address, length } = ram;
        const setup: UserfaultSetup = { fd: userfault.fd, ram: { address, length, cow: ram.cow } };
        thread = new IoThread(import.meta.url, './userfaultfd-thread', setup);
        await thread.request('populate');
      } catch (error) {
        await close().catch(() => {});
        throw error;
      }
    },
    arm: options => {
      const { fd } = userfault as UserFaultFd;
      const armed = { ...options, mechanism: Mechanism.USERFAULTFD, userfaultFd: fd };
      cow.state.arm(armed, Math.ceil(ram.length / options.chunkSize));
      userfault?.writeProtect(ram.address, ram.length, true);
    },
    disarm: () => {
      userfault?.writeProtect(ram.address, ram.length, false);
      cow.state.disarm(cow.chunkCount);
    },
    close,
  };
}

/** Throws TSVMM_E_KVM_UNFIT with what to do about it. */
function openUserfault(): UserFaultFd {
  const features = userfaultfdFeatures();
  if ((features & UserfaultFeature.PAGEFAULT_FLAG_WP) === 0n) {
    throw new TsvmmError('TSVMM_E_KVM_UNFIT', 'this host does not let tsvmm protect memory by userfaultfd', {
      hint:
        'run as root, or allow it: sysctl vm.unprivileged_userfaultfd=1, or read and write access to /dev/userfaultfd; ' +
        'or use --cow mprotect, which needs neither',
    });
  }
  return UserFaultFd.open(features & (UserfaultFeature.PAGEFAULT_FLAG_WP | UserfaultFeature.WP_UNPOPULATED));
}
