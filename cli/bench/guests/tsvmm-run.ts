import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { BenchGuests } from './bench-guests.ts';
import { failure, LineSplitter, ReportLog } from './report-log.ts';

const CONSOLE_LINE = /^(\S+) +\| (.*)$/;
const PATIENCE_MS = 10_000;

/** `tsvmm run` as it is typed, in a process of its own. */
export class TsvmmRun implements BenchGuests {
  readonly log = new ReportLog();
  private readonly child: ChildProcessByStdio<null, Readable, Readable>;
  private readonly directory = mkdtempSync(join(tmpdir(), 'tsvmm-bench-'));
  private readonly ended: Promise<void>;
  private stderr = '';

  /** `cluster` is the text of a cluster file; `environment` comes on top of this process's. */
  constructor(cluster: string, environment: NodeJS.ProcessEnv = {}) {
    const file = join(this.directory, 'cluster.yaml');
    writeFileSync(file, cluster);
    const words = [...process.execArgv, process.argv[1] as string, 'run', file];
    this.child = spawn(process.execPath, words, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    const lines = new LineSplitter();
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => {
      for (const line of lines.add(text)) {
        const [, vm, words] = CONSOLE_LINE.exec(line) ?? [];
        if (vm !== undefined && words !== undefined) this.log.take(vm, words);
      }
    });
    this.ended = new Promise(resolve => {
      this.child.on('error', error => this.log.fail(failure('tsvmm run cannot be started', error)));
      this.child.on('close', () => {
        this.log.fail(failure('tsvmm run has ended', new Error(this.stderr.slice(-500))));
        resolve();
      });
    });
  }

  get pids(): number[] {
    return [this.child.pid as number];
  }

  async end(): Promise<void> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE_MS);
    this.child.kill('SIGINT');
    await this.ended;
    clearTimeout(timer);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
