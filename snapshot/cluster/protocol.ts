/**
 * What goes into the coordinator and what comes out, as plain data. Nothing here knows how a VM is stopped or a frame
 * is copied: the driver turns commands into calls and their results into inputs; the simulation does the same with
 * models. Every message of an attempt carries its epoch, so that one that comes late is known for what it is.
 */
import type { SerializedError } from '../../vmm/errors.ts';
import type { FilterModeName } from './filter.ts';

export type VmName = string;
/** "vm/nic". */
export type PortName = string;

export interface SnapshotRequest {
  /** Chosen by the caller, never used twice; a request with a known id is a duplicate and ignored. */
  readonly id: number;
  readonly name: string;
  readonly mode: FilterModeName;
  /** From the request, waiting in the queue included, to the order to publish. */
  readonly timeout_us: number;
}

/** One VM's transient snapshot; instants are microseconds of the one monotonic clock of the process. */
export interface CutReport {
  /** The first vCPU was asked to stop. */
  readonly suspended_us: number;
  /** The ports crossed into the epoch: this is the VM's cut. */
  readonly crossed_us: number;
  /** The last vCPU ran again. */
  readonly resumed_us: number;
  /** Shares of the pause, as spans. */
  readonly kick_us: number;
  readonly state_us: number;
  readonly arm_us: number;
}

/** One VM's full snapshot, as `snap --format json` shows it. */
export interface SaveReport {
  readonly pages_total: number;
  readonly pages_zero: number;
  /** As the parent of an incremental snapshot has them. */
  readonly pages_inherited?: number;
  readonly pages_eager: number;
  readonly pages_active: number;
  readonly cow_faults: number;
  readonly vmm_write_saves: number;
  readonly fallbacks: number;
  readonly memory_bytes: number;
  readonly disk_bytes: number;
  /** When the VM ran again, if that was not at the end of its cut: some methods let it stand still while it is saved. */
  readonly resumed_us?: number;
}

/** What the filter did during one attempt, by receiver. */
export interface FrameCounts {
  readonly held_count: number;
  readonly dropped_count: number;
  readonly recorded_count: number;
}

export type Input =
  /** From the user. */
  | { readonly kind: 'snapshot-requested'; readonly request: SnapshotRequest }
  | { readonly kind: 'abort-requested'; readonly id: number }
  /** From the cluster's life. */
  | { readonly kind: 'vm-joining'; readonly vm: VmName }
  /** Reply to `admit-vm`: its ports are plugged in. */
  | { readonly kind: 'vm-joined'; readonly vm: VmName }
  | { readonly kind: 'vm-left'; readonly vm: VmName; readonly failure: SerializedError }
  | { readonly kind: 'switch-died'; readonly failure: SerializedError }
  /** Replies to commands. */
  | { readonly kind: 'image-ready'; readonly epoch: number }
  | { readonly kind: 'switch-ready'; readonly epoch: number }
  | { readonly kind: 'vm-ready'; readonly epoch: number; readonly vm: VmName }
  | { readonly kind: 'vm-cut'; readonly epoch: number; readonly vm: VmName; readonly cut: CutReport }
  | { readonly kind: 'vm-saved'; readonly epoch: number; readonly vm: VmName; readonly saved: SaveReport }
  | {
      readonly kind: 'channel-recorded';
      readonly epoch: number;
      readonly frames: ReadonlyMap<VmName, FrameCounts>;
    }
  | { readonly kind: 'published'; readonly epoch: number }
  | {
      readonly kind: 'vm-failed';
      readonly epoch: number;
      readonly vm: VmName;
      readonly failure: SerializedError;
    }
  | { readonly kind: 'image-failed'; readonly epoch: number; readonly failure: SerializedError }
  | { readonly kind: 'channel-failed'; readonly epoch: number; readonly failure: SerializedError }
  | { readonly kind: 'vm-aborted'; readonly epoch: number; readonly vm: VmName }
  | { readonly kind: 'switch-aborted'; readonly epoch: number }
  | { readonly kind: 'image-discarded'; readonly epoch: number }
  /** From the switch: a frame with a newer marker waits for this VM, or no more of them can. */
  | { readonly kind: 'newer-marker'; readonly epoch: number; readonly vm: VmName }
  | { readonly kind: 'held-full'; readonly epoch: number; readonly vm: VmName }
  /** Time has passed: `deadline_us` of the coordinator is reached. */
  | { readonly kind: 'tick' };

/** Why a VM cuts now: its turn came, a frame of a VM that has cut waits for it, or too many do. */
export type CutCause = 'command' | 'newer-marker' | 'held-full';

export type Command =
  /** Make a place for the snapshot's files, invisible until it is published. */
  | {
      readonly kind: 'open-image';
      readonly epoch: number;
      readonly request: SnapshotRequest;
      /** Those that take part. */
      readonly vms: readonly VmName[];
    }
  /** Put the filter into force and open the recording; answered before any port may cross into the epoch. */
  | { readonly kind: 'open-switch'; readonly epoch: number; readonly mode: FilterModeName }
  /** Do all that can be done while the VM still runs. */
  | { readonly kind: 'prepare-vm'; readonly epoch: number; readonly vm: VmName }
  /** The transient snapshot; the VM's ports cross into the epoch in it. */
  | { readonly kind: 'cut-vm'; readonly epoch: number; readonly vm: VmName; readonly cause: CutCause }
  /** The VM has cut: what was held for it may go. */
  | { readonly kind: 'release-held'; readonly epoch: number; readonly vm: VmName }
  /** The full snapshot. */
  | { readonly kind: 'save-vm'; readonly epoch: number; readonly vm: VmName }
  /** All have cut: record what still waits in the switch, close the recording, write it to the image. */
  | { readonly kind: 'record-channel'; readonly epoch: number }
  | { readonly kind: 'publish'; readonly epoch: number }
  /** Every port enters the epoch, the filter is off, held frames are delivered in order. */
  | { readonly kind: 'abort-switch'; readonly epoch: number }
  /** The VM runs on undisturbed, its files are closed. Also while a cut or a save is under way. */
  | { readonly kind: 'abort-vm'; readonly epoch: number; readonly vm: VmName }
  | { readonly kind: 'discard-image'; readonly epoch: number }
  /** The VM is to be plugged in, its ports at this epoch; no attempt begins until that is done. */
  | { readonly kind: 'admit-vm'; readonly vm: VmName; readonly epoch: number }
  | { readonly kind: 'report'; readonly event: SnapshotEvent };

/** What happened, for progress, the event stream and the timeline. */
export type SnapshotEvent = { readonly at_us: number; readonly request: SnapshotRequest } & (
  | { readonly kind: 'queued' }
  | { readonly kind: 'started'; readonly epoch: number; readonly vms: readonly VmName[] }
  | { readonly kind: 'vm-ready'; readonly vm: VmName }
  | { readonly kind: 'cut-commanded'; readonly vm: VmName; readonly cause: CutCause }
  | { readonly kind: 'vm-cut'; readonly vm: VmName; readonly cut: CutReport }
  | { readonly kind: 'channel-recorded'; readonly frames: ReadonlyMap<VmName, FrameCounts> }
  | { readonly kind: 'vm-saved'; readonly vm: VmName; readonly saved: SaveReport }
  | { readonly kind: 'aborting'; readonly failure: SerializedError }
  /** The last event of a request is one of these two, exactly once. */
  | { readonly kind: 'published'; readonly epoch: number }
  | { readonly kind: 'failed'; readonly failure: SerializedError }
);
