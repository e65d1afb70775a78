import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findTool } from '../../../guest-images/find-tool.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { benchImage } from '../../support/bench-image.ts';

/** One line of the guest's console. */
export interface GuestEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface MicrovmOptions {
  readonly memory?: string;
  readonly vcpus?: number;
  /** More words for QEMU: devices and what is behind them. */
  readonly devices?: readonly string[];
}

const QEMU = 'qemu-system-x86_64';
const LIMIT_MS = 20_000;
const CONSOLE_POLL_MS = 10;

/** Path of the guest image, or why these tests cannot run here. */
export async function imageOrObstacle(): Promise<{ image: string; obstacle: string | undefined }> {
  if (findTool(QEMU) === undefined) return { image: '', obstacle: `${QEMU} is not installed` };
  try {
    return { image: await benchImage(), obstacle: undefined };
  } catch (error) {
    // No compiler, or no lwIP sources. That our sources do not compile is no obstacle but a failure.
    const isLacking =
      error instanceof TsvmmError &&
      (error.code === 'TSVMM_E_TOOL_MISSING' || /fetch lwIP/.test(error.message));
    if (!isLacking) throw error;
    return { image: '', obstacle: error.message };
  }
}

/** The bench guest in QEMU's microvm, emulated: nothing of this machine's KVM takes part. */
export class Microvm {
  private readonly child: ChildProcess;
  private readonly limit: NodeJS.Timeout;
  // The console goes to a file: QEMU writes single bytes, and drops them when a socket (Node's pipes are sockets) is not
  // read fast enough.
  private readonly directory = mkdtempSync(join(tmpdir(), 'tsvmm-microvm-'));
  private readonly consoleFile: number;
  private readonly consolePoll: NodeJS.Timeout;
  private partialLine = '';
  private waiters: (() => void)[] = [];
  private hasEnded = false;
  readonly lines: string[] = [];
  readonly events: GuestEvent[] = [];
  /** Resolves with all events when the guest has powered off or was killed. */
  readonly ended: Promise<readonly GuestEvent[]>;

  constructor(image: string, words: string, { memory = '64', vcpus = 1, devices = [] }: MicrovmOptions = {}) {
    const consolePath = join(this.directory, 'console');
    this.consoleFile = openSync(consolePath, 'w+');
    const machine = 'microvm,acpi=off,isa-serial=on,rtc=off,pit=on,pic=on';
    this.child = spawn(
      QEMU,
      [
        ...[
          '-accel',
          'tcg',
          '-cpu',
          'max',
          '-nodefaults',
          '-no-user-config',
          '-no-reboot',
          '-display',
          'none',
        ],
        ...['-serial', `file:${consolePath}`, '-global', 'virtio-mmio.force-legacy=false'],
        ...['-M', machine, '-m', memory, '-smp', String(vcpus), '-kernel', image],
        ...['-append', vcpus > 1 ? `${words} vcpus=${vcpus}` : words, ...devices],
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    this.limit = setTimeout(() => this.kill(), LIMIT_MS);
    this.consolePoll = setInterval(() => this.readConsole(), CONSOLE_POLL_MS);
    this.ended = new Promise(resolve => {
      this.child.on('close', () => {
        clearTimeout(this.limit);
        clearInterval(this.consolePoll);
        this.readConsole();
        closeSync(this.consoleFile);
        rmSync(this.directory, { recursive: true });
        this.hasEnded = true;
        this.wake();
        resolve(this.events);
      });
    });
  }

  private readConsole(): void {
    const buffer = Buffer.alloc(65_536);
    let text = '';
    for (let length = -1; length !== 0; text += buffer.toString('latin1', 0, length)) {
      length = readSync(this.consoleFile, buffer);
    }
    if (text !== '') this.take(text);
  }

  private take(text: string): void {
    const lines = (this.partialLine + text).split('\n');
    this.partialLine = lines.pop() ?? '';
    for (const line of lines) {
      this.lines.push(line);
      this.events.push(JSON.parse(line) as GuestEvent);
    }
    this.wake();
  }

  private wake(): void {
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  /** The first event that matches; rejects when the guest ends without it. */
  async until(matches: (event: GuestEvent) => boolean): Promise<GuestEvent> {
    for (;;) {
      const found = this.events.find(matches);
      if (found !== undefined) return found;
      if (this.hasEnded)
        throw new Error(`the guest ended without the awaited event: ${this.lines.join(' ')}`);
      await new Promise<void>(resolve => this.waiters.push(resolve));
    }
  }

  untilEvent(name: string): Promise<GuestEvent> {
    return this.until(({ event }) => event === name);
  }

  /** Ends it at once, as a crash of the host process would. */
  kill(): void {
    this.child.kill('SIGKILL');
  }
}

/** The fields of the last stat line of a workload. */
export function lastStat(events: readonly GuestEvent[], workload: string): Record<string, number> {
  const stats = events.filter(event => event.event === 'stat' && event.workload === workload);
  const last = stats.at(-1);
  if (last === undefined) throw new Error(`no stat line of ${workload}: ${JSON.stringify(events)}`);
  return last as unknown as Record<string, number>;
}

/** Why the guest ended with a fatal event, or undefined. */
export function fatalOf(events: readonly GuestEvent[]): string | undefined {
  return events.find(({ event }) => event === 'fatal')?.why as string | undefined;
}
