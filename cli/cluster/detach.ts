/** The foreground half of `tsvmm run -d`: starts the process, relays what it says, and waits for its report. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { deserializeError, TsvmmError } from '../../vmm/errors.ts';
import { runsDirectory } from '../home/layout.ts';
import { abortOnSignals } from '../ui/abort.ts';
import { type FormatOptions, narrate, print, printJson } from '../ui/output.ts';
import type { RunReport } from './run-report.ts';
import type { ClusterStatus } from './status.ts';

export interface DetachOptions extends FormatOptions {
  readonly name?: string;
  readonly timeout: number;
}

/**
 * Runs the verb that `words` begin with in the background; returns when every guest has booted. Throws the error by
 * which the process ended before.
 */
export async function runDetached(
  words: readonly string[],
  { name, timeout, format }: DetachOptions,
): Promise<void> {
  const started_ms = performance.now();
  const status = await startProcess([
    ...words,
    `--timeout=${timeout}`,
    ...(name === undefined ? [] : [`--name=${name}`]),
  ]);
  if (format === 'json') return printJson(status);
  print(status.name);
  const seconds = ((performance.now() - started_ms) / 1000).toFixed(2);
  const vms = status.vms.length === 1 ? '1 VM has' : `${status.vms.length} VMs have`;
  narrate(
    `${vms} booted in ${seconds} s; see tsvmm logs ${status.name}, stop it by tsvmm stop ${status.name}`,
  );
}

async function startProcess(words: readonly string[]): Promise<ClusterStatus> {
  const signal = abortOnSignals();
  mkdirSync(runsDirectory(), { recursive: true, mode: 0o700 });
  const logFile = join(runsDirectory(), `.control-${process.pid}.log`);
  const log = openSync(logFile, 'a+', 0o600);
  const relay = new Relay(log);
  try {
    const child = spawn(
      process.execPath,
      [...process.execArgv, process.argv[1] as string, ...words, '--report-fd=3', `--control-log=${logFile}`],
      { detached: true, stdio: ['ignore', log, log, 'pipe'] },
    );
    signal.addEventListener('abort', () => child.kill('SIGTERM'));
    const report = await reportOf(child, signal);
    if ('error' in report) throw deserializeError(report.error);
    child.unref();
    return report.status;
  } finally {
    relay.end();
    closeSync(log);
    // Gone if the process moved it to its run directory.
    rmSync(logFile, { force: true });
  }
}

async function reportOf(child: ChildProcess, signal: AbortSignal): Promise<RunReport> {
  const exited = new Promise<string>((resolve, reject) => {
    child.on('exit', (code, name) => resolve(name ?? `code ${code}`));
    child.on('error', cause =>
      reject(new TsvmmError('TSVMM_E_INTERNAL', 'cannot start a process', { cause })),
    );
  });
  let text = '';
  for await (const chunk of (child.stdio[3] as Readable).setEncoding('utf8')) text += chunk;
  if (signal.aborted) {
    await exited;
    throw signal.reason;
  }
  if (text !== '') return JSON.parse(text) as RunReport;
  throw new TsvmmError('TSVMM_E_INTERNAL', `the background process has died (${await exited})`, {
    hint: 'run the cluster without -d to see more',
  });
}

const RELAY_MS = 50;

/** Copies what the process writes to its log file to stderr of this one. */
class Relay {
  private readonly fd: number;
  private readonly timer = setInterval(() => this.copy(), RELAY_MS);
  private readonly buffer = Buffer.alloc(16 * 1024);
  private position = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  end(): void {
    clearInterval(this.timer);
    this.copy();
  }

  private copy(): void {
    for (;;) {
      const count = readSync(this.fd, this.buffer, 0, this.buffer.length, this.position);
      if (count === 0) return;
      process.stderr.write(this.buffer.subarray(0, count));
      this.position += count;
    }
  }
}
