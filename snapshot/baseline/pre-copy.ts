import { setTimeout } from 'node:timers/promises';
import type { DevicePlug } from '../../vmm/devices/plug.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { IoThread } from '../../vmm/io/io-thread.ts';
import type { Machine } from '../../vmm/machine.ts';
import { hva, KIB, PAGE_SIZE } from '../../vmm/memory/address.ts';
import { Mechanism } from '../../vmm/memory/cow-state.ts';
import type { CutReport } from '../cluster/protocol.ts';
import type { CowMechanism } from '../cow/mechanism.ts';
import { macsOf } from '../image/macs.ts';
import { encodeVmState } from '../image/vm-state.ts';
import type { SnapshotWriter } from '../image/writer.ts';
import type { SaveResult } from '../saver/saver.ts';
import { pauseAlone } from '../transient/pause-together.ts';
import { type FreezableDisk, TransientSnapshot } from '../transient/transient.ts';
import type { VmAttempt } from '../vm-attempt.ts';
import { HeldMachine } from './held-machine.ts';
import { type PreCopyMessage, RestDone } from './pre-copy-messages.ts';

/** What is copied again when any of its pages was written. Smaller ones would find less to copy, and take longer to. */
const CHUNK_BYTES = 64 * KIB;
/** Rounds end when this share of RAM is left (as much as is copied in a few milliseconds), or it gets no less. */
const REST_SHARE = 1 / 64;
const SHRINKING = 0.8;
const MOST_ROUNDS = 8;
/** Between the rounds of a VM that waits for the others to be ready. */
const FRESH_INTERVAL_MS = 20;
const REST_TIMEOUT_MS = 30_000;

/**
 * Pre-copy, which hot snapshots are compared with: memory is copied while the VM runs, then what was written meanwhile, and
 * so on; at last the VM stands still for the rest. The cut is when the rest is copied. Rounds are every VM's own business;
 * their cuts are coordinated like those of a hot snapshot, or the snapshot would not be consistent.
 */
export class PreCopyAttempt implements VmAttempt {
  readonly transient: TransientSnapshot;
  private readonly machine: Machine;
  private readonly held: HeldMachine;
  private readonly writer: SnapshotWriter;
  private readonly thread = new IoThread<PreCopyMessage, unknown>(import.meta.url, './pre-copy-thread');
  private readonly memoryFd: number;
  private phase: 'copying' | 'cut' | 'over' = 'copying';
  /** Rounds that keep the rest small until the cut. */
  private refreshing: Promise<void> = Promise.resolve();
  private copied_chunks = 0;
  private rest_chunks = 0;

  /** Copies until little is left; gives up when it is not wanted any more. */
  static async prepare(
    machine: Machine,
    writer: SnapshotWriter,
    disks: readonly FreezableDisk[],
    isWanted: () => boolean,
  ): Promise<PreCopyAttempt> {
    const attempt = new PreCopyAttempt(machine, writer, disks);
    try {
      await attempt.converge(isWanted);
    } catch (error) {
      await attempt.abort();
      throw error;
    }
    attempt.refreshing = attempt.keepFresh();
    attempt.refreshing.catch(() => {});
    return attempt;
  }

  private constructor(machine: Machine, writer: SnapshotWriter, disks: readonly FreezableDisk[]) {
    this.machine = machine;
    this.held = new HeldMachine(machine);
    this.writer = writer;
    this.memoryFd = writer.openMemory(machine.config.name, machine.ram.length, 'none');
    const pool = { address: hva(0), chunkSize: CHUNK_BYTES, slotCount: 0, eagerAddress: hva(0) };
    this.transient = new TransientSnapshot(machine, this.mechanism(), pool, disks);
  }

  async cut(cross: () => void): Promise<Omit<CutReport, 'crossed_us'>> {
    this.phase = 'cut';
    await this.refreshing;
    const suspended_us = await this.held.hold();
    this.rest_chunks += await this.round();
    const report = pauseAlone({ transient: this.transient, cross });
    const resumed_us = this.held.letGo();
    return { ...report, suspended_us, resumed_us };
  }

  async save(): ReturnType<VmAttempt['save']> {
    const { machine, writer } = this;
    const saved = (await this.thread.request({ sync: this.memoryFd })) as SaveResult;
    if (this.phase === 'over') throw new TsvmmError('TSVMM_E_INTERRUPTED', 'the snapshot was given up');
    await this.end();
    const { name, devices } = machine.config;
    const { length } = machine.ram;
    const deviceIds = devices.map((plug: DevicePlug) => plug.model.deviceId);
    const manifest = writer.finishVm(
      {
        name,
        memory_bytes: length,
        vcpus: machine.vcpus.length,
        macs: macsOf(machine),
        chunk_bytes: CHUNK_BYTES,
        compression: 'none',
      },
      encodeVmState(machine.slabs, this.transient.capture, deviceIds),
      saved,
    );
    const report = {
      pages_total: length / PAGE_SIZE,
      pages_zero: saved.pages_zero,
      pages_inherited: 0,
      pages_eager: (this.rest_chunks * CHUNK_BYTES) / PAGE_SIZE,
      pages_active: (this.copied_chunks * CHUNK_BYTES) / PAGE_SIZE,
      cow_faults: 0,
      vmm_write_saves: 0,
      fallbacks: 0,
      memory_bytes: saved.bytesWritten,
    };
    return { manifest, report };
  }

  async abort(): Promise<void> {
    if (this.phase === 'over') return;
    this.held.letGo();
    await this.end();
  }

  private async converge(isWanted: () => boolean): Promise<void> {
    const { ram, vm } = this.machine;
    this.startLog();
    const { address, length, cow } = ram;
    const start = { ram: { address, length, cow }, vmFd: vm.fd, fd: this.memoryFd };
    let left = (await this.thread.request({ start })) as number;
    this.copied_chunks = left;
    const enough = Math.max(1, (left * REST_SHARE) | 0);
    for (let round = 0; round < MOST_ROUNDS && left > enough; round++) {
      if (!isWanted()) throw new TsvmmError('TSVMM_E_INTERRUPTED', 'the snapshot was given up');
      const before = left;
      left = await this.round();
      this.copied_chunks += left;
      if (round > 0 && left > before * SHRINKING) break;
    }
  }

  private async keepFresh(): Promise<void> {
    while (this.phase === 'copying') {
      this.copied_chunks += await this.round();
      await setTimeout(FRESH_INTERVAL_MS);
    }
  }

  private async round(): Promise<number> {
    return (await this.thread.request('written')) as number;
  }

  /** Between two writes of each device, so that no write is under way of which the log has not heard. */
  private startLog(): void {
    const { capture } = this.transient;
    capture.lockDevices();
    this.machine.cow.state.arm(
      { mechanism: Mechanism.LOG, chunkSize: CHUNK_BYTES, poolAddress: hva(0), slotCount: 0 },
      0,
    );
    capture.unlockDevices();
  }

  /** In place of write-protection: when the pause would protect memory, the rest of it is copied. */
  private mechanism(): CowMechanism {
    return {
      name: 'mprotect',
      prepare: async () => {},
      arm: () => this.copyRest(),
      disarm: () => this.machine.cow.state.disarm(this.machine.cow.chunkCount),
      close: async () => {},
    };
  }

  /** In the pause: this thread waits for the other one. */
  private copyRest(): void {
    const done = new Int32Array(new SharedArrayBuffer(4));
    this.thread.request({ rest: done }).then(
      count => {
        this.rest_chunks += count as number;
      },
      () => {},
    );
    Atomics.wait(done, 0, RestDone.NOT_YET, REST_TIMEOUT_MS);
    if (Atomics.load(done, 0) !== RestDone.COPIED) {
      throw new TsvmmError('TSVMM_E_DISK', 'the rest of the memory cannot be written', {
        hint: 'free space on the file system of $TSVMM_HOME',
      });
    }
    // Who saves pages ahead of their change has nothing to do any more.
    this.machine.cow.state.disarm(this.machine.cow.chunkCount);
  }

  /** Both logs end, and the thread with them. */
  private async end(): Promise<void> {
    this.phase = 'over';
    await this.refreshing.catch(() => {});
    if (this.machine.cow.state.armed) this.machine.cow.state.disarm(this.machine.cow.chunkCount);
    await this.thread.request('close').catch(() => {});
    await this.thread.stop().catch(() => {});
  }
}
