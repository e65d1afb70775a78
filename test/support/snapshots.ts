import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { SnapshotTimeline } from '../../snapshot/cluster/timeline.ts';
import { CopyPools } from '../../snapshot/cow/copy-pool.ts';
import { openMemorySource, readChain } from '../../snapshot/image/chain.ts';
import { identityOf } from '../../snapshot/image/identity.ts';
import { closeMemorySource } from '../../snapshot/image/memory-source.ts';
import { ParentSnapshot } from '../../snapshot/image/parent.ts';
import { SnapshotReader } from '../../snapshot/image/reader.ts';
import { SnapshotFolder } from '../../snapshot/image/store.ts';
import { loadEagerly } from '../../snapshot/restore/eager.ts';
import { loadVmState } from '../../snapshot/restore/load-state.ts';
import type { SaveResult } from '../../snapshot/saver/saver.ts';
import type { SaverMessage } from '../../snapshot/saver/saver-thread.ts';
import { HotPages } from '../../snapshot/transient/hot-pages.ts';
import type { TransientReport } from '../../snapshot/transient/transient.ts';
import { type VmSaveReport, type VmSnapshotOptions, VmSnapshotter } from '../../snapshot/vm-snapshotter.ts';
import { IoThread } from '../../vmm/io/io-thread.ts';
import type { Machine } from '../../vmm/machine.ts';
import type { MachineSoftware } from '../../vmm/machine-parts.ts';
import { HUGE_PAGE_SIZE } from '../../vmm/memory/address.ts';
import { MEMORY_FOLDER, temporaryFolder } from './temporary.ts';

export interface TakenSnapshot {
  readonly folder: string;
  /** Undefined: the default. */
  readonly chunkSize: number | undefined;
  readonly snapshotter: VmSnapshotter;
  readonly cut: TransientReport;
  readonly report: VmSaveReport;
}

export interface TakeOptions extends VmSnapshotOptions {
  readonly parent?: TakenSnapshot | undefined;
}

/** What happens along the way of a snapshot, for tests to look into it. */
export interface SnapshotHooks {
  prepared?(snapshotter: VmSnapshotter): void | Promise<void>;
  /** Within the pause, when all is captured and RAM is armed. */
  frozen?(snapshotter: VmSnapshotter): void;
  /** The VM runs again, nothing is saved yet. */
  cut?(snapshotter: VmSnapshotter): void | Promise<void>;
}

/** Takes snapshots of single machines, each into a folder of its own. */
export class SnapshotRig {
  readonly folder: string;
  readonly saver = new IoThread<SaverMessage, SaveResult>(
    import.meta.url,
    '../../snapshot/saver/saver-thread',
  );
  readonly pools = new CopyPools();
  /** As every machine learns its own: what one learns of another's memory is only a bad guess. */
  private readonly hotPages = new WeakMap<Machine, HotPages>();
  private epoch = 0;

  constructor(folder = temporaryFolder(MEMORY_FOLDER)) {
    this.folder = folder;
  }

  private hotPagesOf(machine: Machine): HotPages {
    const known = this.hotPages.get(machine) ?? new HotPages();
    this.hotPages.set(machine, known);
    return known;
  }

  /** `parent` is another one of this rig, which must fit. */
  async take(
    machine: Machine,
    { parent, ...options }: TakeOptions = { cow: 'mprotect' },
    hooks: SnapshotHooks = {},
  ): Promise<TakenSnapshot> {
    const builtOn = parent === undefined ? undefined : this.open(parent, machine, options);
    try {
      return await this.takeOn(builtOn, machine, options, hooks);
    } finally {
      builtOn?.close();
    }
  }

  private async takeOn(
    parent: ParentSnapshot | undefined,
    machine: Machine,
    options: VmSnapshotOptions,
    hooks: SnapshotHooks,
  ): Promise<TakenSnapshot> {
    const epoch = ++this.epoch;
    const name = `s${epoch}`;
    const store = { cluster: 'test', folder: this.folder, configuration: {} };
    const image = new SnapshotFolder(
      store,
      name,
      epoch,
      {
        method: 'hotsnap',
        cow: options.cow,
        filter: 'off',
        compression: options.compression ?? 'none',
      },
      parent,
    );
    let snapshotter: VmSnapshotter | undefined;
    try {
      snapshotter = await VmSnapshotter.prepare(
        machine,
        { ...options, base: parent?.memory('vm'), hotPages: this.hotPagesOf(machine) },
        image.writer,
        this.saver,
        this.pools,
      );
      await hooks.prepared?.(snapshotter);
      const { transient } = snapshotter;
      transient.alwaysCopiesHotPages = true;
      transient.whileFrozen = () => hooks.frozen?.(snapshotter as VmSnapshotter);
      const cut = snapshotter.cut();
      await hooks.cut?.(snapshotter);
      const { manifest, report } = await snapshotter.save();
      image.addVm({ ...manifest, ports: [], disks: [] });
      await image.writeChannel({ epoch, frames: [] });
      await image.publish(emptyTimeline(name, epoch));
      return { folder: join(this.folder, name), chunkSize: options.chunkSize, snapshotter, cut, report };
    } catch (error) {
      await snapshotter?.abort();
      await image.discard();
      throw error;
    }
  }

  private open(
    { folder }: TakenSnapshot,
    machine: Machine,
    { chunkSize }: VmSnapshotOptions,
  ): ParentSnapshot {
    const found = ParentSnapshot.find(
      [{ folder, identity: identityOf(new SnapshotReader(folder).manifest) }],
      {
        cluster: 'test',
        siblings: this.folder,
        chunkSize: chunkSize ?? HUGE_PAGE_SIZE,
        vms: new Map([['vm', machine.config]]),
      },
    );
    if (found === undefined) throw new Error(`${folder} is no parent for the next snapshot`);
    return found;
  }

  discard({ folder }: TakenSnapshot): void {
    rmSync(folder, { recursive: true });
  }

  async stop(): Promise<void> {
    await this.saver.stop();
    this.pools.close();
  }
}

export const emptyTimeline = (name: string, epoch: number): SnapshotTimeline => ({
  name,
  epoch,
  mode: 'off',
  started_us: 0,
  cut_skew_us: 0,
  logical_us: 0,
  channel_recorded_us: 0,
  complete_us: 0,
  frames: { held_count: 0, dropped_count: 0, recorded_count: 0 },
  vms: [],
});

/** The only VM of a snapshot, to be put into a new machine of the same shape. */
export function restored(folder: string, vm = 'vm'): MachineSoftware {
  return {
    install: parts => {
      const reader = new SnapshotReader(folder);
      const manifest = reader.vm(vm);
      const source = openMemorySource(readChain(reader), vm);
      loadEagerly(source, parts.ram);
      closeMemorySource(source);
      loadVmState(reader.state(manifest), parts);
    },
  };
}
