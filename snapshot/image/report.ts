import type { SnapshotTimeline } from '../cluster/timeline.ts';
import type { SnapshotOptions } from './store.ts';

/** What `snap --format json` prints (docs/cli.md); also kept in the manifest. */
export interface SnapshotReport {
  readonly snapshot: string;
  readonly path: string;
  readonly epoch: number;
  readonly method: string;
  readonly cow: string;
  readonly filter: string;
  readonly compression: string;
  /** The snapshot that has what this one does not, as cluster/name. */
  readonly parent: string | null;
  readonly cut_skew_us: number;
  readonly logical_us: number;
  readonly complete_ms: number;
  readonly bytes_written: number;
  readonly frames: { readonly held: number; readonly dropped: number; readonly recorded: number };
  readonly vms: readonly VmReport[];
}

export interface VmReport {
  readonly name: string;
  readonly downtime_us: number;
  readonly kick_us: number;
  readonly state_us: number;
  readonly arm_us: number;
  readonly pages_total: number;
  readonly pages_zero: number;
  /** Of an incremental snapshot: pages that are as its parent has them. */
  readonly pages_inherited?: number;
  readonly pages_eager: number;
  readonly pages_active: number;
  readonly cow_faults: number;
  readonly vmm_write_saves: number;
  readonly fallbacks: number;
  readonly memory_bytes: number;
  readonly disk_bytes: number;
}

export function snapshotReport(
  snapshot: string,
  path: string,
  options: SnapshotOptions & { readonly parent: string | null },
  timeline: SnapshotTimeline,
): SnapshotReport {
  const vms = timeline.vms.map(({ name, downtime_us, kick_us, state_us, arm_us, saved }) => ({
    name,
    downtime_us: Math.round(downtime_us),
    kick_us: Math.round(kick_us),
    state_us: Math.round(state_us),
    arm_us: Math.round(arm_us),
    ...saved,
  }));
  return {
    snapshot,
    path,
    epoch: timeline.epoch,
    ...options,
    cut_skew_us: Math.round(timeline.cut_skew_us),
    logical_us: Math.round(timeline.logical_us),
    complete_ms: Math.round(timeline.complete_us / 1000),
    bytes_written: vms.reduce((sum, vm) => sum + vm.memory_bytes + vm.disk_bytes, 0),
    frames: {
      held: timeline.frames.held_count,
      dropped: timeline.frames.dropped_count,
      recorded: timeline.frames.recorded_count,
    },
    vms,
  };
}
