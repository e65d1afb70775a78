import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { MIB } from '../../../vmm/memory/address.ts';
import { QEMU } from '../boot/microvm.ts';
import type { Sample } from '../harness.ts';
import { DirtyLog } from './dirty-log.ts';
import { Qmp } from './qmp.ts';
import { type GuestOptions, SETTLE_MS } from './tsvmm-subject.ts';

const POLL_MS = 5;

/** The same guest and load in QEMU's microvm, with what QEMU has for saving a VM. */
export class QemuSubject {
  readonly log = new DirtyLog();
  private readonly options: GuestOptions;
  private readonly folder: string;
  private child: ChildProcess | undefined;
  private qmp: Qmp | undefined;
  private tailing = false;

  constructor(options: GuestOptions) {
    this.options = options;
    this.folder = mkdtempSync(join(options.folder ?? tmpdir(), 'tsvmm-bench-qemu-'));
  }

  async restart(): Promise<void> {
    if (this.qmp === undefined) {
      this.child = this.spawn('serial', 'qmp');
      this.qmp = await Qmp.connect(join(this.folder, 'qmp'));
      await this.qmp.command('migrate-set-parameters', { 'max-bandwidth': 10 ** 11 });
      void this.tail(join(this.folder, 'serial'));
      await this.log.next();
    } else {
      await this.qmp.command('cont');
    }
    await setTimeout(SETTLE_MS);
  }

  async halt(): Promise<void> {
    await this.qmp?.command('stop');
  }

  /** userfaultfd write-protection of QEMU: the VM runs on, its pages are saved before they change. */
  async backgroundSnapshot(rate: number): Promise<Sample> {
    const qmp = this.running();
    await qmp.command('migrate-set-capabilities', {
      capabilities: [{ capability: 'background-snapshot', state: true }],
    });
    const firstEvent = qmp.events.length;
    const requested = performance.now();
    await this.migrate();
    const complete = performance.now();
    await this.log.next();
    await this.log.next();
    const events = qmp.events.slice(firstEvent);
    const at = (name: string) => events.find(({ event }) => event === name)?.at_us ?? Number.NaN;
    return {
      downtime_us: at('RESUME') - at('STOP'),
      saved_ms: complete - requested,
      lost_ms: (this.log.missing(requested, complete, rate) * 1000) / rate,
      guest_gap_us: this.log.longestGap_us(requested, complete),
    };
  }

  async stopAndSave(rate: number): Promise<Sample> {
    const qmp = this.running();
    await qmp.command('migrate-set-capabilities', {
      capabilities: [{ capability: 'background-snapshot', state: false }],
    });
    const requested = performance.now();
    await qmp.command('stop');
    await this.migrate();
    await qmp.command('cont');
    const complete = performance.now();
    await this.log.next();
    await this.log.next();
    return {
      downtime_us: (complete - requested) * 1000,
      saved_ms: complete - requested,
      lost_ms: (this.log.missing(requested, complete, rate) * 1000) / rate,
    };
  }

  /** A new QEMU that takes in what was saved last, to its guest's next line. */
  async restore(): Promise<Sample> {
    const started = performance.now();
    const child = this.spawn('incoming-serial', 'incoming-qmp', ['-incoming', `exec:cat ${this.image()}`]);
    const serial = join(this.folder, 'incoming-serial');
    let qmp: Qmp | undefined;
    try {
      const log = new DirtyLog();
      let heard = false;
      void log.next().then(() => {
        heard = true;
      });
      // It was stopped when it was saved, and so it is when it is there again.
      qmp = await Qmp.connect(join(this.folder, 'incoming-qmp'));
      while ((await qmp.command<{ status: string }>('query-status')).status !== 'paused') await setTimeout(1);
      const released = performance.now();
      await qmp.command('cont');
      const reader = new SerialTail(serial);
      while (!heard) {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error('QEMU has ended');
        reader.read(log);
        await setTimeout(1);
      }
      reader.close();
      const heard_ms = performance.now();
      return { load_ms: released - started, line_ms: heard_ms - released, total_ms: heard_ms - started };
    } finally {
      qmp?.close();
      await end(child);
      rmSync(serial, { force: true });
    }
  }

  async close(): Promise<void> {
    this.tailing = false;
    this.qmp?.close();
    await end(this.child);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async migrate(): Promise<void> {
    const qmp = this.running();
    // As our images are: complete when they are on the disk.
    await qmp.command('migrate', {
      uri: `exec:dd of=${this.image()} bs=1M iflag=fullblock conv=fsync status=none`,
    });
    for (;;) {
      const { status } = await qmp.command<{ status: string }>('query-migrate');
      if (status === 'completed') return;
      if (status === 'failed') throw new Error('QEMU: migration failed');
      await setTimeout(POLL_MS);
    }
  }

  private spawn(serial: string, qmp: string, more: readonly string[] = []): ChildProcess {
    const { image, memory_bytes, cmdline } = this.options;
    return spawn(
      QEMU,
      [
        ...['-M', 'microvm,acpi=off,isa-serial=on,rtc=off,pit=on,pic=on', '-accel', 'kvm', '-cpu', 'host'],
        ...[
          '-m',
          `${memory_bytes / MIB}M`,
          '-nodefaults',
          '-no-user-config',
          '-no-reboot',
          '-display',
          'none',
        ],
        ...[
          '-serial',
          `file:${join(this.folder, serial)}`,
          '-qmp',
          `unix:${join(this.folder, qmp)},server,nowait`,
        ],
        ...['-kernel', image, '-append', cmdline],
        ...more,
      ],
      { stdio: 'ignore' },
    );
  }

  private async tail(path: string): Promise<void> {
    this.tailing = true;
    const reader = new SerialTail(path);
    while (this.tailing) {
      reader.read(this.log);
      await setTimeout(POLL_MS);
    }
    reader.close();
  }

  private image(): string {
    return join(this.folder, 'saved');
  }

  private running(): Qmp {
    if (this.qmp === undefined) throw new Error('QEMU does not run');
    return this.qmp;
  }
}

/** What a file grows by: QEMU loses console bytes on anything that is read slowly. */
class SerialTail {
  private readonly path: string;
  private readonly buffer = Buffer.alloc(64 * 1024);
  private fd: number | undefined;
  private position = 0;

  constructor(path: string) {
    this.path = path;
  }

  read(log: DirtyLog): void {
    if (this.fd === undefined && existsSync(this.path)) this.fd = openSync(this.path, 'r');
    if (this.fd === undefined) return;
    const count = readSync(this.fd, this.buffer, 0, this.buffer.length, this.position);
    this.position += count;
    if (count > 0) log.push(this.buffer.subarray(0, count));
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null) return;
  const exited = new Promise(resolve => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}
