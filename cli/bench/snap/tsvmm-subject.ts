import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { encodeChannel } from '../../../snapshot/cluster/channel-file.ts';
import { CopyPools } from '../../../snapshot/cow/copy-pool.ts';
import type { CowMechanismName } from '../../../snapshot/cow/mechanism.ts';
import { openMemorySource, readChain } from '../../../snapshot/image/chain.ts';
import type { Compression } from '../../../snapshot/image/compression-names.ts';
import { identityOf } from '../../../snapshot/image/identity.ts';
import { FORMAT, FORMAT_VERSION, type ParentReference } from '../../../snapshot/image/manifest.ts';
import { closeMemorySource } from '../../../snapshot/image/memory-source.ts';
import { SnapshotReader } from '../../../snapshot/image/reader.ts';
import { verifySnapshot } from '../../../snapshot/image/verify.ts';
import { SnapshotWriter } from '../../../snapshot/image/writer.ts';
import { RestoreThreads } from '../../../snapshot/restore/restore-threads.ts';
import { type RestoredSoftware, restoredSoftware } from '../../../snapshot/restore/restored-software.ts';
import type { SaveResult } from '../../../snapshot/saver/saver.ts';
import type { SaverMessage } from '../../../snapshot/saver/saver-thread.ts';
import type { TransientReport } from '../../../snapshot/transient/transient.ts';
import { type VmSnapshotOptions, VmSnapshotter } from '../../../snapshot/vm-snapshotter.ts';
import { DeviceHost } from '../../../vmm/devices/device-host.ts';
import { IoThread } from '../../../vmm/io/io-thread.ts';
import { Kvm } from '../../../vmm/kvm/kvm.ts';
import { Machine } from '../../../vmm/machine.ts';
import type { MachineSoftware } from '../../../vmm/machine-parts.ts';
import { HUGE_PAGE_SIZE, MIB } from '../../../vmm/memory/address.ts';
import type { CowState } from '../../../vmm/memory/cow-state.ts';
import { VcpuHandle } from '../../../vmm/vcpu/vcpu-handle.ts';
import type { Sample } from '../harness.ts';
import { DirtyLog } from './dirty-log.ts';

export interface GuestOptions {
  readonly image: string;
  readonly memory_bytes: number;
  /** Share of the memory that the guest rewrites over and over. */
  readonly cmdline: string;
  /** Snapshots can be restored by the command too: the VM has what every VM of a cluster has. */
  readonly asInCluster?: boolean;
  /** Where images go; on the file system that is to be measured. */
  readonly folder?: string;
}

/** Until threads that were started ahead have done what they do while nothing is asked of them. */
const THREADS_SETTLE_MS = 250;
/** What the snapshots call it. */
const VM_NAME = 'bench';
/** Longer than the window over which a rate is taken. */
export const SETTLE_MS = 1500;
const SAVER_URL = new URL('../../../snapshot/vm-snapshotter.ts', import.meta.url).href;

/** One VM of ours under load, of which snapshots are taken. */
export class TsvmmSubject {
  readonly log = new DirtyLog();
  private readonly kvm = Kvm.open();
  private readonly options: GuestOptions;
  private readonly folder: string;
  private readonly saver: IoThread<SaverMessage, SaveResult>;
  private readonly pools = new CopyPools();
  private readonly devices = new DeviceHost();
  private machine: Machine | undefined;
  private count = 0;

  constructor(options: GuestOptions) {
    this.options = options;
    this.folder = mkdtempSync(join(options.folder ?? tmpdir(), 'tsvmm-bench-'));
    const url = import.meta.url.endsWith('.ts') ? SAVER_URL : SAVER_URL.replace(/\.ts$/, '.js');
    this.saver = new IoThread(url, './saver/saver-thread');
  }

  /** The folder whose file system is measured. */
  get imageFolder(): string {
    return this.folder;
  }

  get memory_bytes(): number {
    return this.options.memory_bytes;
  }

  /** Lets the VM run, and a while go by, so that its undisturbed rate is known. */
  async restart(): Promise<void> {
    if (this.machine === undefined) {
      this.machine = await this.create();
      this.machine.on('console', bytes => this.log.push(bytes));
      this.machine.start();
      await this.log.next();
    } else {
      this.machine.resume();
    }
    await setTimeout(SETTLE_MS);
  }

  /** Stops it, so that others have the processor for themselves. */
  async halt(): Promise<void> {
    await this.machine?.pause();
  }

  /** A hot snapshot: the VM runs on while it is saved. */
  async hotsnap(cow: CowMechanismName, rate: number, chunkSize = HUGE_PAGE_SIZE): Promise<Sample> {
    return this.snapshot({ cow, chunkSize }, rate, { paused: false });
  }

  /** A snapshot that stands alone. */
  async compressed(compression: Compression): Promise<Sample> {
    return this.snapshot({ cow: 'mprotect', compression }, Number.NaN, { paused: false });
  }

  /** One that builds on the last, which stays until this is there. */
  async incremental(compression: Compression): Promise<Sample> {
    const reader = new SnapshotReader(this.path(this.count));
    const base = openMemorySource([reader], 'bench');
    const parent = { cluster: 'bench', name: reader.manifest.name, identity: identityOf(reader.manifest) };
    try {
      return await this.snapshot({ cow: 'mprotect', compression, base }, Number.NaN, {
        paused: false,
        parent,
      });
    } finally {
      closeMemorySource(base);
    }
  }

  /** Until the guest has told of so many page writes. */
  async untilWritten(count: number): Promise<void> {
    while (this.log.writes < count) await this.log.next();
  }

  /** Checks all of the last snapshot. */
  async verify(): Promise<Sample> {
    const started = performance.now();
    const findings = await verifySnapshot(this.path(this.count));
    const damage = findings.find(({ error }) => error !== undefined);
    if (damage !== undefined) throw new Error(`${damage.what}: ${damage.error}`);
    return { total_ms: performance.now() - started };
  }

  /** The VM stands still until all is saved. */
  async stopCopy(rate: number): Promise<Sample> {
    return this.snapshot({ cow: 'mprotect' }, rate, { paused: true });
  }

  /** The pause of a hot snapshot that is then given up. */
  async pauseOnly(): Promise<Sample> {
    this.discardLast();
    const writer = this.newWriter();
    const snapshotter = await VmSnapshotter.prepare(
      this.machine as Machine,
      { cow: 'mprotect' },
      writer,
      this.saver,
      this.pools,
    );
    try {
      return stepsOf(snapshotter.cut());
    } finally {
      await snapshotter.abort();
    }
  }

  /** The folder of the last snapshot. */
  get lastSnapshot(): string {
    return this.path(this.count);
  }

  /**
   * Time until a VM restored from the last snapshot prints its next line, from the request in a process that runs; with
   * `threadsAhead` its threads run before it.
   */
  async restore({ lazy, threadsAhead }: { lazy: boolean; threadsAhead: boolean }): Promise<Sample> {
    const log = new DirtyLog();
    const threads = new RestoreThreads();
    const vcpuThread = threadsAhead ? new VcpuHandle() : undefined;
    if (threadsAhead) threads.startAhead();
    await vcpuThread?.started();
    await threads.startedAhead();
    if (threadsAhead) await setTimeout(THREADS_SETTLE_MS);
    const started = performance.now();
    if (!threadsAhead) threads.startAhead();
    const chain = readChain(new SnapshotReader(this.lastSnapshot));
    const onDamage = (error: Error) => console.error(error);
    const software = restoredSoftware(chain, VM_NAME, { lazy, onDamage, threads });
    const machine = await this.create(software, vcpuThread === undefined ? [] : [vcpuThread]);
    try {
      machine.on('console', bytes => log.push(bytes));
      machine.start();
      const released = performance.now();
      await log.next();
      const heard = performance.now();
      const times = { load_ms: released - started, line_ms: heard - released, total_ms: heard - started };
      return { ...times, ...(await pagedIn(software, started)) };
    } finally {
      await machine.stop();
    }
  }

  async close(): Promise<void> {
    await this.machine?.stop();
    await this.devices.stop();
    await this.saver.stop();
    this.pools.close();
    this.kvm.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async snapshot(
    options: VmSnapshotOptions,
    rate: number,
    { paused, parent = null }: { paused: boolean; parent?: ParentReference | null },
  ): Promise<Sample> {
    const machine = this.machine as Machine;
    if (parent === null) this.discardLast();
    const requested = performance.now();
    const writer = this.newWriter();
    const snapshotter = await VmSnapshotter.prepare(machine, options, writer, this.saver, this.pools);
    const prepared = performance.now();
    if (paused) await machine.pause();
    const cut = snapshotter.cut();
    const { manifest, report } = await snapshotter.save();
    if (paused) machine.resume();
    const resumed = performance.now();
    this.publish(writer, manifest, parent);
    const complete = performance.now();
    const counters = machine.cow.state.counters;
    await this.log.next();
    await this.log.next();
    return {
      ...stepsOf(cut),
      ...(paused ? { downtime_us: (resumed - prepared) * 1000 } : {}),
      prepare_ms: prepared - requested,
      saved_ms: snapshotter.written_ms - requested,
      durable_ms: complete - requested,
      lost_ms: (this.log.missing(requested, paused ? resumed : snapshotter.written_ms, rate) * 1000) / rate,
      guest_gap_us: this.log.longestGap_us(requested, snapshotter.written_ms),
      pages_eager: report.pages_eager,
      cow_faults: report.cow_faults,
      fallbacks: report.fallbacks,
      stall_us_max: counters.stall_us_max,
      stalls_long: counters.stalls_long,
      ...perStall(counters),
      buffer_waits: counters.buffer_waits,
      written_mib: report.memory_bytes / 2 ** 20,
    };
  }

  /** The last one, and what it builds on. Before the clock starts: to delete a large file takes a while. */
  private discardLast(): void {
    for (const number of [this.count - 1, this.count])
      rmSync(this.path(number), { recursive: true, force: true });
  }

  private newWriter(): SnapshotWriter {
    this.count++;
    return new SnapshotWriter(this.path(this.count));
  }

  private publish(
    writer: SnapshotWriter,
    vm: Awaited<ReturnType<VmSnapshotter['save']>>['manifest'],
    parent: ParentReference | null,
  ): void {
    writer.publish({
      format: FORMAT,
      version: FORMAT_VERSION,
      cluster: 'bench',
      name: `s${this.count}`,
      created_at: new Date().toISOString(),
      cut_realtime_us: Date.now() * 1000,
      parent,
      epoch: this.count,
      method: 'hotsnap',
      cow: 'mprotect',
      filter: 'off',
      configuration: this.clusterFile,
      vms: [{ ...vm, ports: [], disks: [] }],
      channel: writer.writeFile('channel.bin', encodeChannel({ epoch: this.count, frames: [] })),
      timeline: writer.writeFile('timeline.json', new Uint8Array(0)),
      report: null,
    });
  }

  /** By which the command knows what it restores. */
  private get clusterFile(): { readonly file: string; readonly text: string } | null {
    const { asInCluster, memory_bytes, cmdline } = this.options;
    if (!asInCluster) return null;
    const args = cmdline.split(' ').join(', ');
    const text = `name: bench\nvms:\n  ${VM_NAME}: { image: bench, memory: ${memory_bytes / MIB}MiB, args: [${args}] }\n`;
    return { file: 'bench.yaml', text };
  }

  private path(number: number): string {
    return join(this.folder, `s${number}`);
  }

  private create(restored?: MachineSoftware, threads: readonly VcpuHandle[] = []): Promise<Machine> {
    return Machine.create(this.kvm, {
      name: VM_NAME,
      imagePath: this.options.image,
      cmdline: this.options.cmdline,
      memory_bytes: this.options.memory_bytes,
      vcpus: 1,
      devices: this.options.asInCluster ? [this.devices.createRng()] : [],
      threads,
      ...(restored === undefined ? {} : { restored }),
    });
  }
}

const stepsOf = ({
  downtime_us,
  kick_us,
  state_us,
  devices_us,
  arm_us,
  eager_us,
  wake_us,
}: TransientReport): Sample => ({ downtime_us, kick_us, state_us, devices_us, arm_us, eager_us, wake_us });

/** What came lazily until now, and how long until all is there. */
async function pagedIn({ paging }: RestoredSoftware, started_ms: number): Promise<Sample> {
  if (paging === undefined) return {};
  const { faults, fault_us, prefetched } = paging.counters;
  await paging.ended();
  return {
    page_ins: faults,
    page_in_ms: fault_us / Math.max(1, faults) / 1000,
    chunks_ahead: prefetched,
    all_there_ms: performance.now() - started_ms,
  };
}

/** What a writer spends on a chunk or a part of one, on the average, and how many of a hundred take it long. */
function perStall(counters: CowState['counters']): Sample {
  const { stall_us_sum, copy_us_sum, unprotect_us_sum, stalls_long } = counters;
  const wholes = counters.cow_faults + counters.vmm_write_saves;
  const parts = counters.cow_faults_partial + counters.vmm_write_saves_partial;
  const stalls = Math.max(1, wholes + parts);
  return {
    stall_us: stall_us_sum / stalls,
    copy_us: copy_us_sum / stalls,
    unprotect_us: unprotect_us_sum / stalls,
    stalls_long_percent: (100 * stalls_long) / stalls,
  };
}
