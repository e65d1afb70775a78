import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { TsvmmError } from '../../../vmm/errors.ts';
import { parseBenchReport } from '../../cluster/bench-report.ts';

/** Longer than any boot takes, and short enough to wait for. */
const BOOT_LIMIT_MS = 60_000;

/** A process that runs a bench guest and shows its console on stdout. */
export class BootingChild {
  readonly started_ms: number;
  stderr = '';
  private readonly child: ChildProcessByStdio<null, Readable, Readable>;
  private readonly ended: Promise<void>;
  private stdout = '';

  constructor(program: string, words: readonly string[], environment: NodeJS.ProcessEnv = process.env) {
    this.started_ms = performance.now();
    this.child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], env: environment });
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.child.stdout.setEncoding('utf8');
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', () => resolve());
    });
    this.ended.catch(() => {});
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Milliseconds from the start of the process to the guest's ready line. */
  ready(): Promise<number> {
    return this.said('ready');
  }

  /** Milliseconds from the start of the process to the guest's first line of this kind. */
  async said(event: string): Promise<number> {
    const said = new Promise<number>(resolve => {
      this.child.stdout.on('data', (text: string) => {
        this.stdout += text;
        if (this.stdout.split('\n').some(line => eventOf(line) === event))
          resolve(performance.now() - this.started_ms);
      });
    });
    let timer: NodeJS.Timeout | undefined;
    const failed = new Promise<never>((_, reject) => {
      const fail = (why: string) => reject(this.failure(why));
      timer = setTimeout(() => fail(`has not booted within ${BOOT_LIMIT_MS / 1000} s`), BOOT_LIMIT_MS);
      this.ended.then(
        () => fail('ended before its guest had said so'),
        () => fail('cannot be started'),
      );
    });
    failed.catch(() => {});
    try {
      return await Promise.race([said, failed]);
    } finally {
      clearTimeout(timer);
    }
  }

  async end(signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.child.kill(signal);
    await this.ended.catch(() => {});
  }

  private failure(why: string): TsvmmError {
    const cause = new Error(`${this.stdout}${this.stderr}`.trim().slice(-500));
    return new TsvmmError('TSVMM_E_INTERNAL', `${this.child.spawnfile} ${why}`, { cause });
  }
}

/** `tsvmm run` puts the VM's name before the line. */
const eventOf = (line: string): string | undefined => parseBenchReport(line.slice(line.indexOf('{')))?.event;
