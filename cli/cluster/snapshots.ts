import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SnapshotDriver } from '../../snapshot/cluster/driver.ts';
import type { FilterModeName } from '../../snapshot/cluster/filter.ts';
import type { Clock } from '../../snapshot/cluster/interfaces.ts';
import { chooseMechanism } from '../../snapshot/cow/choose.ts';
import type { Compression } from '../../snapshot/image/compression-names.ts';
import { identityOf } from '../../snapshot/image/identity.ts';
import { removePartial } from '../../snapshot/image/list.ts';
import { type Ancestor, ParentSnapshot } from '../../snapshot/image/parent.ts';
import { SnapshotReader } from '../../snapshot/image/reader.ts';
import { type SnapshotReport, snapshotReport } from '../../snapshot/image/report.ts';
import {
  parentName,
  type SnapshotFolder,
  type SnapshotOptions,
  SnapshotStore,
} from '../../snapshot/image/store.ts';
import { MachineSnapshotter } from '../../snapshot/machine-snapshotter.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { hostKind } from '../../vmm/kvm/host-kind.ts';
import type { Machine } from '../../vmm/machine.ts';
import { HUGE_PAGE_SIZE } from '../../vmm/memory/address.ts';
import { monotonic_us } from '../../vmm/vcpu/monotonic.ts';
import { snapshotsDirectory } from '../home/layout.ts';
import type { RunningCluster } from './cluster.ts';
import type { SnapshotDisks } from './disks.ts';
import type { SnapshotNetworks } from './networks.ts';

/** Cluster file as text, so that a restore reads and checks it like any other. */
export interface ClusterSource {
  readonly file: string;
  readonly text: string;
}

export interface SnapshotRequest {
  /** "s1", "s2", ... if left out. */
  readonly name?: string | undefined;
  readonly method: SnapshotOptions['method'];
  /** 'auto': what suits host and guests. */
  readonly cow: SnapshotOptions['cow'] | 'auto';
  readonly filter: FilterModeName;
  readonly compress: Compression;
  /** Leave out what the cluster's last snapshot has, if there is one. */
  readonly incremental: boolean;
  readonly timeout_s: number;
}

/** What a listener of a snapshot's progress hears. */
export type SnapshotProgress =
  | { readonly kind: 'cut'; readonly vm: string; readonly downtime_us: number }
  | {
      readonly kind: 'saving';
      readonly vm: string;
      readonly saved: number;
      readonly total: number;
      readonly faults: number;
    }
  | { readonly kind: 'saved'; readonly vm: string };

export interface SnapshotParts {
  readonly machines: ReadonlyMap<string, Machine>;
  readonly networks: SnapshotNetworks;
  readonly disks: SnapshotDisks;
  /** Of the snapshot that the cluster was restored from, or 0. */
  readonly epoch: number;
  /** The snapshot that the cluster was restored from. */
  readonly origin?: Ancestor | undefined;
}

/** Takes the snapshots of one running cluster. */
export class ClusterSnapshots {
  private readonly cluster: RunningCluster;
  private readonly store: SnapshotStore;
  private readonly driver: SnapshotDriver<SnapshotFolder>;
  private readonly snapshotters: ReadonlyMap<string, MachineSnapshotter>;
  private readonly folder: string;
  /** Some VM runs another kernel than an image of ours. */
  private readonly hasForeignKernel: boolean;
  /** What an incremental snapshot may build on, newest first. */
  private readonly ancestors: Ancestor[];
  /** Who asked for a snapshot and has no answer yet, by its name. */
  private readonly listeners = new Map<string, (progress: SnapshotProgress) => void>();
  private readonly pending = new Set<Promise<unknown>>();
  private readonly closing = new AbortController();
  /** The snapshot that is being taken. */
  private current = '';

  constructor(cluster: RunningCluster, source: ClusterSource, parts: SnapshotParts) {
    const { name } = cluster.config;
    this.cluster = cluster;
    this.folder = join(snapshotsDirectory(), name);
    this.hasForeignKernel = [...parts.machines.values()].some(({ config }) => config.firmwareTables);
    this.ancestors = parts.origin === undefined ? [] : [parts.origin];
    // From wherever it is restored: the file's relative paths count against the directory that it was in.
    const configuration = { ...source, file: cluster.config.file };
    this.store = new SnapshotStore({ cluster: name, folder: this.folder, configuration });
    const alive = [...parts.machines].filter(([vm]) => cluster.vm(vm).exit === undefined);
    const vms = alive.map(([vm, machine]) => {
      const ports = parts.networks.portsOf(vm);
      return {
        name: vm,
        ports,
        snapshotter: new MachineSnapshotter(machine, ports, parts.disks.disksOf(vm)),
      };
    });
    this.snapshotters = new Map(vms.map(vm => [vm.name, vm.snapshotter]));
    this.driver = new SnapshotDriver({
      epoch: parts.epoch,
      vms,
      network: parts.networks.epochSwitch,
      store: this.store,
      clock,
      onEvent: event => {
        const tell = this.listeners.get(event.request.name);
        if (event.kind === 'started') {
          this.current = event.request.name;
        } else if (event.kind === 'vm-cut') {
          const { resumed_us, suspended_us } = event.cut;
          tell?.({ kind: 'cut', vm: event.vm, downtime_us: Math.round(resumed_us - suspended_us) });
        } else if (event.kind === 'vm-saved') {
          tell?.({ kind: 'saved', vm: event.vm });
        }
      },
      onProgress: (vm, { pages_saved, pages_total, cow_faults }) =>
        this.listeners.get(this.current)?.({
          kind: 'saving',
          vm,
          saved: pages_saved,
          total: pages_total,
          faults: cow_faults,
        }),
    });
    cluster.beforeVmStops = vm => this.retire(vm);
  }

  /**
   * Throws the error of whatever failed; the cluster runs on undisturbed then, and nothing of the snapshot is left.
   * Snapshots that are asked for meanwhile are taken one after the other.
   */
  async take(
    request: SnapshotRequest,
    listener: (progress: SnapshotProgress) => void,
    signal?: AbortSignal,
  ): Promise<SnapshotReport> {
    const { method, filter, compress } = request;
    requireAble(request);
    const cow = request.cow === 'auto' ? chooseMechanism(hostKind(), this.hasForeignKernel) : request.cow;
    const name = request.name ?? this.nextName();
    if (this.listeners.has(name)) {
      throw new TsvmmError('TSVMM_E_CONFLICT', `a snapshot "${name}" is being taken already`, {
        hint: 'choose another name with --name',
      });
    }
    const options = { method, cow, filter, compression: compress };
    const parent = request.incremental ? this.findParent() : undefined;
    this.store.expect(name, options, parent);
    this.listeners.set(name, listener);
    const taking = this.run(request, name, signal);
    this.pending.add(taking);
    try {
      const timeline = await taking;
      const folder = join(this.folder, name);
      this.ancestors.unshift({ folder, identity: identityOf(new SnapshotReader(folder).manifest) });
      const reported = { ...options, parent: parentName(parent) };
      return snapshotReport(`${this.cluster.config.name}/${name}`, folder, reported, timeline);
    } finally {
      this.pending.delete(taking);
      this.listeners.delete(name);
      parent?.close();
    }
  }

  private run({ filter, timeout_s }: SnapshotRequest, name: string, signal: AbortSignal | undefined) {
    const { signal: closing } = this.closing;
    return this.driver.snapshot({
      name,
      mode: filter,
      timeout_us: timeout_s * 1e6,
      signal: signal === undefined ? closing : AbortSignal.any([closing, signal]),
    });
  }

  private findParent(): ParentSnapshot | undefined {
    const vms = new Map(this.cluster.config.vms.map(vm => [vm.name, vm]));
    return ParentSnapshot.find(this.ancestors, {
      cluster: this.cluster.config.name,
      siblings: this.folder,
      chunkSize: HUGE_PAGE_SIZE,
      vms,
    });
  }

  /** Before the machines end. What is under way is given up, and leaves nothing behind. */
  async close(): Promise<void> {
    this.closing.abort();
    await Promise.allSettled(this.pending);
    await Promise.all([...this.snapshotters.values()].map(snapshotter => snapshotter.close()));
  }

  /** At the end of the process: what a snapshot has left whose cleaning up took too long to wait for. Synchronous. */
  removeUnfinished(): void {
    removePartial(this.folder, pid => pid !== process.pid);
  }

  /** The VM has ended. Resolves when nobody looks at its memory any more. */
  private async retire(vm: string): Promise<void> {
    this.driver.leave(vm, new TsvmmError('TSVMM_E_CONFLICT', `${vm} has ended`));
    await this.snapshotters.get(vm)?.close();
  }

  private nextName(): string {
    let number = 1;
    while (this.listeners.has(`s${number}`) || existsSync(join(this.folder, `s${number}`))) number++;
    return `s${number}`;
  }
}

/** What is there for comparison stores plain images only. */
function requireAble({ method, incremental, compress }: SnapshotRequest): void {
  if (method !== 'pre-copy' || (!incremental && compress === 'none')) return;
  throw new TsvmmError('TSVMM_E_USAGE', 'pre-copy can neither be incremental nor compressed', {
    hint: 'leave out --method: hot snapshots can be both',
  });
}

/** setTimeout() takes no more, and fires at once instead. A coordinator that is woken early asks again. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const clock: Clock = {
  now_us: monotonic_us,
  schedule: (time_us, callback) => {
    const wait_ms = Math.min(Math.max(0, (time_us - monotonic_us()) / 1000), LONGEST_TIMER_MS);
    const timer = setTimeout(callback, wait_ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
