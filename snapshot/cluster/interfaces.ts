/**
 * What the coordination needs of the network, of one VM and of the image store. It declares these interfaces; net,
 * the VM snapshotter and snapshot/image implement them, and the driver connects them with the coordinator.
 *
 * Common rules. An epoch names one attempt for ever. A call for an epoch that is over (drained, aborted, published) or
 * that was made before changes nothing. What rejects makes the attempt fail; the error's code and hint reach the user.
 */
import type { ChannelState } from './channel.ts';
import type { FilterModeName } from './filter.ts';
import type { CutReport, FrameCounts, PortName, SaveReport, VmName } from './protocol.ts';
import type { SnapshotTimeline } from './timeline.ts';

/**
 * The switch of the cluster, as the control thread sees it. Its thread obeys the rules of docs/epoch-protocol.md:
 *
 * 1. A frame's marker is its sender's epoch, read under the lock of the sender's device when it leaves the tx ring.
 * 2. filterFrame() decides at the copy into the receiver's descriptors, under the lock of the receiver's device,
 *    wherever the frame waited before (held, for want of buffers or of the lock, or on an impaired link).
 * 3. A held frame that may go goes before every other frame to that port, also before those that came while the
 *    receiver was in its pause.
 * 4. Held queues are bounded. What does not fit is left in the sender's tx ring, and the listener hears heldFull.
 */
export interface EpochSwitch {
  /**
   * Puts the filter into `mode` and opens the recording. Settles when the switch's thread obeys it: only then may a
   * port cross into `epoch`.
   */
  open(epoch: number, mode: FilterModeName): Promise<void>;
  /**
   * The port crosses into `epoch`: its frames are marked with it, and frames with that marker may reach it. Called in
   * the VM's pause, with the lock of the port's device held; hence one store into shared memory, and no message. The
   * epoch never goes down.
   */
  cutPort(port: PortName, epoch: number): void;
  /** Wakes the switch's thread: what is held for these ports may go now. */
  releaseHeld(ports: readonly PortName[]): void;
  /**
   * Called when every port has crossed. In one step of the switch's thread: judges every frame that still waits, in
   * the order in which its port would get it (held, waiting for buffers, delayed), records the pre-to-post ones, which
   * wait on, and closes the recording. Rejects when the recording has overflowed (ChannelRecorder).
   */
  drain(epoch: number): Promise<SwitchRecording>;
  /**
   * Ends the attempt without a snapshot, whether it was opened or not: the filter goes off, the recording is thrown
   * away, all ports cross into `epoch`, and held frames are delivered, in order. Settles when every port has crossed.
   */
  abort(epoch: number): Promise<void>;
  /** Called once, before anything else. */
  listen(listener: SwitchListener): void;
}

export interface SwitchListener {
  /** The first frame of `epoch` came for a port that has not crossed yet; once per port and epoch. */
  newerMarker(port: PortName, epoch: number): void;
  /** A frame of `epoch` could not be held for the port, for want of room. */
  heldFull(port: PortName, epoch: number): void;
  /** The port is about to be unplugged; frames that wait for it belong to an attempt until then. */
  unplugging(port: PortName): void;
  /** The switch's thread has ended, and all traffic with it. */
  died(error: unknown): void;
}

export interface SwitchRecording {
  readonly channel: ChannelState;
  /** What the filter did in this epoch, by receiving port. */
  readonly counts: ReadonlyMap<PortName, FilterCounts>;
}

export type FilterCounts = Omit<FrameCounts, 'recorded_count'>;

export interface SaveProgress {
  readonly pages_saved: number;
  readonly pages_total: number;
  readonly cow_faults: number;
}

/** One VM's transient and full snapshot. `Image` is where it writes; the coordination does not look into it. */
export interface VmSnapshotter<Image> {
  /** All that can be done while the VM runs: files, buffers, tables, threads woken. */
  prepare(epoch: number, image: Image): Promise<void>;
  /**
   * The transient snapshot. Calls `cross` exactly once, synchronously, while all vCPUs stand still and the locks of
   * all devices are held: after the state is captured and the memory armed, before the first lock is released.
   * Settles when the VM runs again.
   */
  cut(epoch: number, cross: () => void): Promise<Omit<CutReport, 'crossed_us'>>;
  /** The full snapshot; settles when everything of the VM is in the image. */
  save(epoch: number, onProgress: (progress: SaveProgress) => void): Promise<SaveReport>;
  /**
   * Whatever is under way for `epoch` ends, prepare() included (its promise may settle in any way). Settles when the VM
   * runs undisturbed and has no file of the image open any more. A pause that has begun may be gone through to its end,
   * `cross` included. Also called after save(), when the snapshot fails elsewhere, and without prepare().
   */
  abort(epoch: number): Promise<void>;
}

/** A snapshot that is being made, invisible until it is published. */
export interface SnapshotImage {
  writeChannel(channel: ChannelState): Promise<void>;
  /** Makes it visible, whole; when it rejects it is not there. */
  publish(timeline: SnapshotTimeline): Promise<void>;
  /** Removes all of it. */
  discard(): Promise<void>;
}

export interface ImageStore<Image extends SnapshotImage> {
  /** Rejects with TSVMM_E_CONFLICT when a snapshot of that name exists. */
  create(name: string, epoch: number, vms: readonly VmName[]): Promise<Image>;
}

export interface ClusterVm<Image> {
  readonly name: VmName;
  /** Its NICs, all of which cross together. */
  readonly ports: readonly PortName[];
  readonly snapshotter: VmSnapshotter<Image>;
}

/** The process's monotonic clock, in microseconds; a fake one in tests. */
export interface Clock {
  now_us(): number;
  /** Calls back once at `time_us` or later; returns what cancels it. */
  schedule(time_us: number, callback: () => void): () => void;
}
