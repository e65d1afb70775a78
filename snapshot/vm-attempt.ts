import type { CutReport, SaveReport } from './cluster/protocol.ts';
import type { ManifestVm } from './image/manifest.ts';

/** One VM's part in one snapshot, whatever the method. Made by what can be done while the VM runs. */
export interface VmAttempt {
  /** The cut; calls `cross` within the pause, as snapshot/cluster/interfaces.ts says. */
  cut(cross: () => void): Omit<CutReport, 'crossed_us'> | Promise<Omit<CutReport, 'crossed_us'>>;
  /** After the cut: resolves when the guest needs the processors less than at once. Nothing that takes time comes before. */
  settle?(): Promise<void>;
  /** Settles when RAM and state are on the disk. */
  save(): Promise<{
    readonly manifest: Omit<ManifestVm, 'disks' | 'ports'>;
    readonly report: Omit<SaveReport, 'disk_bytes'>;
  }>;
  /** The VM runs on as if nothing had been asked. At any time, idempotent; afterwards nobody uses the files. */
  abort(): Promise<void>;
}
