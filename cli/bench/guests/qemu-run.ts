import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../../../vmm/memory/address.ts';
import { QEMU } from '../boot/microvm.ts';
import type { BenchGuests } from './bench-guests.ts';
import { failure, LineSplitter, ReportLog } from './report-log.ts';

const CONSOLE_POLL_MS = 10;

export interface QemuGuest {
  readonly vm: string;
  readonly image: string;
  readonly memory_bytes: number;
  /** Words of the guest's command line. */
  readonly words: string;
  /** More words for QEMU: devices and what is behind them. */
  readonly devices: readonly string[];
  /** Words in front of the program, to start it in another network namespace. */
  readonly launcher?: readonly string[];
}

/** QEMU's microvm with KVM, one process for each guest. */
export class QemuRun implements BenchGuests {
  readonly log = new ReportLog();
  // Consoles go to files: QEMU writes single bytes, and drops them when a pipe is not read fast enough.
  private readonly directory = mkdtempSync(join(tmpdir(), 'tsvmm-bench-'));
  private readonly guests: { child: ChildProcess; ended: Promise<void>; console: ConsoleFile }[];
  private readonly poll: NodeJS.Timeout;

  constructor(guests: readonly QemuGuest[]) {
    this.guests = guests.map(guest => this.start(guest));
    this.poll = setInterval(() => {
      for (const { console } of this.guests) console.read(this.log);
    }, CONSOLE_POLL_MS);
  }

  get pids(): number[] {
    return this.guests.map(({ child }) => child.pid as number);
  }

  async end(): Promise<void> {
    clearInterval(this.poll);
    for (const { child } of this.guests) child.kill('SIGKILL');
    for (const { ended, console } of this.guests) {
      await ended;
      console.close();
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  private start({ vm, image, memory_bytes, words, devices, launcher = [] }: QemuGuest) {
    const path = join(this.directory, `${vm}.console`);
    const console = new ConsoleFile(vm, path);
    // Whatever launches it replaces itself by it (execve), so that the child is QEMU.
    const [program, ...rest] = [
      ...launcher,
      QEMU,
      ...['-M', 'microvm,acpi=off,isa-serial=on,rtc=off,pit=on,pic=on', '-accel', 'kvm', '-cpu', 'host'],
      ...['-m', `${memory_bytes / MIB}M`, '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
      ...['-serial', `file:${path}`, '-global', 'virtio-mmio.force-legacy=false'],
      ...['-device', 'virtio-rng-device', ...devices, '-kernel', image, '-append', words],
    ] as [string, ...string[]];
    const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const ended = new Promise<void>(resolve => {
      child.on('error', error => this.log.fail(failure(`${QEMU} cannot be started`, error)));
      child.on('close', () => {
        console.read(this.log);
        this.log.fail(failure(`${QEMU} has ended`, new Error(stderr.slice(-500))));
        resolve();
      });
    });
    return { child, ended, console };
  }
}

/** A file that QEMU writes a console to, read as it grows. */
class ConsoleFile {
  private readonly vm: string;
  private readonly fd: number;
  private readonly lines = new LineSplitter();
  private readonly buffer = Buffer.alloc(65_536);

  constructor(vm: string, path: string) {
    this.vm = vm;
    this.fd = openSync(path, 'w+');
  }

  read(log: ReportLog): void {
    for (;;) {
      const length = readSync(this.fd, this.buffer);
      if (length === 0) return;
      for (const line of this.lines.add(this.buffer.toString('latin1', 0, length))) log.take(this.vm, line);
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}
