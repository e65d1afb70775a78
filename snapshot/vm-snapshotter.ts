import { setTimeout } from 'node:timers/promises';
import type { DevicePlug } from '../vmm/devices/plug.ts';
import { TsvmmError } from '../vmm/errors.ts';
import type { IoThread } from '../vmm/io/io-thread.ts';
import type { Machine } from '../vmm/machine.ts';
import { HUGE_PAGE_SIZE, type Hva, PAGE_SIZE } from '../vmm/memory/address.ts';
import { EagerPages } from '../vmm/memory/eager-pages.ts';
import type { CopyPool, CopyPools } from './cow/copy-pool.ts';
import { holdDiscards } from './cow/hold-discards.ts';
import type { CowMechanism, CowMechanismName } from './cow/mechanism.ts';
import { mprotectMechanism } from './cow/mprotect.ts';
import { userfaultfdMechanism } from './cow/userfaultfd.ts';
import { codecOf } from './image/compression.ts';
import type { Compression } from './image/compression-names.ts';
import { macsOf } from './image/macs.ts';
import type { ManifestVm } from './image/manifest.ts';
import type { MemorySource } from './image/memory-source.ts';
import { encodeVmState } from './image/vm-state.ts';
import type { SnapshotWriter } from './image/writer.ts';
import type { ImageTarget } from './saver/chunk-writer.ts';
import type { SaveResult } from './saver/saver.ts';
import type { SaverMessage } from './saver/saver-thread.ts';
import { HotPages } from './transient/hot-pages.ts';
import type { JointPause } from './transient/joint-pause.ts';
import { type Pause, pauseAlone } from './transient/pause-together.ts';
import { type FreezableDisk, type TransientReport, TransientSnapshot } from './transient/transient.ts';

export interface VmSnapshotOptions {
  readonly cow: CowMechanismName;
  /** Copy-on-write unit, default 2 MiB. */
  readonly chunkSize?: number;
  readonly compression?: Compression;
  /** The parent's memory, in chunks of the same size: only what differs is saved. It stays open until save() or abort(). */
  readonly base?: MemorySource | undefined;
  /** What the VM's earlier snapshots have learned, and this one goes on to learn. */
  readonly hotPages?: HotPages;
}

/** Numbers of one VM's snapshot, named as in the JSON of `snap`. */
export interface VmSaveReport {
  readonly pages_total: number;
  readonly pages_zero: number;
  readonly pages_inherited: number;
  readonly pages_eager: number;
  readonly pages_active: number;
  readonly cow_faults: number;
  readonly vmm_write_saves: number;
  readonly fallbacks: number;
  readonly memory_bytes: number;
}

/** So long at most a snapshot waits before its pause for the kernel to zero copy buffers; what is not, writers wait for. */
const TOUCH_LIMIT_MS = 250;

const mechanisms = { mprotect: mprotectMechanism, userfaultfd: userfaultfdMechanism };

/** What a snapshot holds from prepare() to its end. */
interface Held {
  readonly mechanism: CowMechanism;
  readonly pools: CopyPools;
  readonly pool: CopyPool;
  readonly allowDiscards: () => void;
}

/** One VM's part in a snapshot: prepare() and save() while it runs, cut() in the pause, abort() at any time. */
export class VmSnapshotter {
  readonly machine: Machine;
  readonly transient: TransientSnapshot;
  private readonly mechanism: CowMechanism;
  private readonly pools: CopyPools;
  private readonly pool: CopyPool;
  private readonly allowDiscards: () => void;
  private readonly writer: SnapshotWriter;
  private readonly saver: IoThread<SaverMessage, SaveResult>;
  private readonly target: ImageTarget;
  private readonly hotPages: HotPages;
  /** The image file of RAM. */
  readonly memoryFd: number;
  /** The pause that was asked for, until it is over. */
  private pausing: Promise<unknown> | undefined;
  /** Memory is armed, until save() or abort() ends that. */
  private isCut = false;
  /** What the saver thread is doing for us. */
  private saving: Promise<unknown> | undefined;
  /** When all was in the files, though not yet on the disk (performance.now()). */
  written_ms = 0;
  private phase: 'prepared' | 'saved' | 'aborted' = 'prepared';

  private constructor(
    machine: Machine,
    { mechanism, pools, pool, allowDiscards }: Held,
    writer: SnapshotWriter,
    saver: IoThread<SaverMessage, SaveResult>,
    disks: readonly FreezableDisk[],
    { compression = 'none', base, hotPages = new HotPages() }: VmSnapshotOptions,
  ) {
    this.machine = machine;
    this.mechanism = mechanism;
    this.pools = pools;
    this.pool = pool;
    this.allowDiscards = allowDiscards;
    this.writer = writer;
    this.saver = saver;
    this.memoryFd = writer.openMemory(machine.config.name, machine.ram.length, compression);
    this.target = { fd: this.memoryFd, compression, base };
    this.hotPages = hotPages;
    const isLarge = pool.chunkSize >= HUGE_PAGE_SIZE;
    this.transient = new TransientSnapshot(machine, mechanism, pool, disks, isLarge ? hotPages.pages : []);
  }

  /** All that can be done before the pause: files, buffers, threads. `pools` keeps the buffers for the next snapshot. */
  static async prepare(
    machine: Machine,
    options: VmSnapshotOptions,
    writer: SnapshotWriter,
    saver: IoThread<SaverMessage, SaveResult>,
    pools: CopyPools,
    disks: readonly FreezableDisk[] = [],
  ): Promise<VmSnapshotter> {
    const chunkSize = options.chunkSize ?? HUGE_PAGE_SIZE;
    const { compression = 'none' } = options;
    // Better a missing library now than in the saver, after the cut.
    if (compression !== 'none') codecOf(compression);
    const mechanism = mechanisms[options.cow](machine);
    const allowDiscards = holdDiscards(machine);
    try {
      await mechanism.prepare(chunkSize);
      const pool = pools.take(machine.ram.length, chunkSize);
      await touchAhead(pool, saver);
      return new VmSnapshotter(
        machine,
        { mechanism, pools, pool, allowDiscards },
        writer,
        saver,
        disks,
        options,
      );
    } catch (error) {
      await mechanism.close();
      pools.giveBack();
      allowDiscards();
      throw error;
    }
  }

  /**
   * The pause. Synchronous: nothing else of this thread runs meanwhile. Throws TSVMM_E_INTERRUPTED after an abort(), and
   * what the steps of TransientSnapshot throw.
   */
  cut(cross: () => void = () => {}): TransientReport {
    const report = pauseAlone(this.pause(cross));
    this.isCut = true;
    return report;
  }

  /** As cut(), together with the other VMs that ask `pauses` in the same turn of the event loop. */
  async cutTogether(pauses: JointPause, cross: () => void): Promise<TransientReport> {
    const pausing = pauses.take(this.pause(cross));
    // Whoever waits for this one comes after ourselves, who have waited for the original.
    this.pausing = pausing.catch(() => {});
    const report = await pausing;
    this.isCut = true;
    this.requireWanted();
    return report;
  }

  private pause(cross: () => void): Pause {
    if (this.phase !== 'prepared')
      throw new TsvmmError('TSVMM_E_INTERRUPTED', 'the snapshot was given up before it was cut');
    return { transient: this.transient, cross };
  }

  /** Saves what was cut while the VM runs; resolves when all of it is on the disk. */
  async save(): Promise<{ manifest: Omit<ManifestVm, 'disks' | 'ports'>; report: VmSaveReport }> {
    this.requireWanted();
    const { machine, pool } = this;
    const { address, length, cow } = machine.ram;
    const deviceIds = machine.config.devices.map((plug: DevicePlug) => plug.model.deviceId);
    const state = encodeVmState(machine.slabs, this.transient.capture, deviceIds);
    const saving = this.saver.request({ save: { ram: { address, length, cow }, target: this.target } });
    this.saving = saving;
    const saved = await saving;
    this.requireWanted();
    this.hotPages.learn(saved.writes);
    this.mechanism.disarm();
    this.phase = 'saved';
    const report = this.report(saved);
    await this.release();
    this.requireWanted();
    this.writer.trimMemory(machine.config.name, saved);
    this.written_ms = performance.now();
    this.saving = this.saver.request({ sync: this.memoryFd });
    await this.saving;
    this.requireWanted();
    const manifest = this.writer.finishVm(
      {
        name: machine.config.name,
        memory_bytes: length,
        vcpus: machine.vcpus.length,
        macs: macsOf(machine),
        chunk_bytes: pool.chunkSize,
        compression: this.target.compression,
      },
      state,
      saved,
    );
    return { manifest, report };
  }

  /**
   * The VM runs on as if nothing had been asked; save() throws TSVMM_E_INTERRUPTED. Afterwards nobody uses the files,
   * which are the writer's to discard. Idempotent.
   */
  async abort(): Promise<void> {
    const { phase } = this;
    if (phase === 'aborted') return;
    this.phase = 'aborted';
    await this.pausing;
    if (this.isCut && phase !== 'saved') this.mechanism.disarm();
    await this.saving?.catch(() => {});
    if (phase === 'saved') return;
    await this.release();
  }

  private requireWanted(): void {
    if (this.phase !== 'aborted') return;
    throw new TsvmmError('TSVMM_E_INTERRUPTED', 'the snapshot was given up');
  }

  /** After disarm(). Buffers and mechanism may go only when no writer uses them any more. */
  private async release(): Promise<void> {
    while (this.machine.cow.state.hasWriters) await setTimeout(1);
    await this.mechanism.close();
    this.pools.giveBack();
    this.allowDiscards();
  }

  private report(saved: SaveResult): VmSaveReport {
    const pagesPerChunk = this.pool.chunkSize / PAGE_SIZE;
    const counters = this.machine.cow.state.counters;
    return {
      pages_total: this.machine.ram.length / PAGE_SIZE,
      pages_zero: saved.pages_zero,
      pages_inherited: saved.pages_inherited,
      pages_eager: counters.pages_eager + counters.chunks_eager * pagesPerChunk,
      pages_active: counters.chunks_active * pagesPerChunk,
      cow_faults: counters.cow_faults + counters.cow_faults_partial,
      vmm_write_saves: counters.vmm_write_saves + counters.vmm_write_saves_partial,
      fallbacks: counters.fallbacks,
      memory_bytes: saved.bytesWritten,
    };
  }
}

/** In the order in which they will be used. */
async function touchAhead(pool: CopyPool, saver: IoThread<SaverMessage, SaveResult>): Promise<void> {
  const { address, eagerAddress, slotCount, chunkSize } = pool;
  const touch = (from: Hva, length: number) =>
    saver.request({ touch: { address: from, length, step: HUGE_PAGE_SIZE, limit_ms: TOUCH_LIMIT_MS } });
  await touch(eagerAddress, EagerPages.BYTES);
  await touch(address, slotCount * chunkSize);
}
