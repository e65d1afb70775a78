import type { CoordinatorOptions } from './coordinator.ts';
import type { FilterModeName } from './filter.ts';
import type { Clock, ClusterVm, EpochSwitch, ImageStore, SaveProgress, SnapshotImage } from './interfaces.ts';
import type { SnapshotEvent, VmName } from './protocol.ts';

export interface DriverOptions<Image extends SnapshotImage> {
  /** 0 for a fresh cluster, the snapshot's epoch for a restored one; every port of the switch is in it. */
  readonly epoch: number;
  readonly vms: readonly ClusterVm<Image>[];
  readonly network: EpochSwitch;
  readonly store: ImageStore<Image>;
  readonly clock: Clock;
  readonly limits?: Partial<Omit<CoordinatorOptions, 'epoch' | 'vms'>>;
  onEvent?(event: SnapshotEvent): void;
  onProgress?(vm: VmName, progress: SaveProgress): void;
  /** What went wrong while cleaning up; nothing depends on it any more. */
  onFault?(error: unknown): void;
}

export interface SnapshotOrder {
  readonly name: string;
  readonly mode: FilterModeName;
  readonly timeout_us: number;
  readonly signal?: AbortSignal;
}
