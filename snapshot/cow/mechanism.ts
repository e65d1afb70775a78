import type { CopyOnWrite } from '../../vmm/memory/copy-on-write.ts';
import type { ArmOptions } from '../../vmm/memory/cow-state.ts';
import type { Ram } from '../../vmm/memory/ram.ts';

export type CowMechanismName = 'mprotect' | 'userfaultfd';

/** How guest RAM is write-protected. One object serves one VM, for any number of snapshots. */
export interface CowMechanism {
  readonly name: CowMechanismName;
  /** What can be done before the pause. Throws TSVMM_E_KVM_UNFIT when the host cannot do it with such chunks. */
  prepare(chunkSize: number): Promise<void>;
  /** Protects all RAM. During the pause: no vCPU runs, nobody writes RAM. */
  arm(options: Omit<ArmOptions, 'mechanism' | 'userfaultFd'>): void;
  /** After the last chunk was saved, or to give up: nothing is protected any more. */
  disarm(): void;
  /** Gives back what prepare() took. Idempotent. */
  close(): Promise<void>;
}

/** The RAM that a mechanism protects; a machine is one. */
export interface ProtectedRam {
  readonly ram: Ram;
  readonly cow: CopyOnWrite;
}
