/** The background half of `tsvmm run -d`; detach.ts is the other. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { exitCodes, TsvmmError } from '../../vmm/errors.ts';
import { failureLog } from '../home/layout.ts';
import { formatError } from '../ui/error-report.ts';
import type { RunningCluster } from './cluster.ts';
import { type RunRequest, runCluster } from './run.ts';
import { RunReporter } from './run-report.ts';

export interface DetachedOptions {
  /** The pipe to the command that started this process. */
  readonly reportFd: number;
  /** The file that stdout and stderr of this process are. */
  readonly controlLog: string;
  readonly timeout_ms: number;
}

/** Runs the cluster, reports when it has booted or why it has not, and answers the exit code. Never throws. */
export async function runAsDetached(request: RunRequest, options: DetachedOptions): Promise<number> {
  const reporter = new RunReporter(options.reportFd);
  let cluster: RunningCluster | undefined;
  const view = {
    watch: (running: RunningCluster) => {
      cluster = running;
    },
    guestEnded: () => {},
  };
  try {
    const detached = { timeout_ms: options.timeout_ms, reporter, logFile: options.controlLog };
    const code = await runCluster({ ...request, detached }, view);
    if (reporter.isOpen)
      reporter.failed(new TsvmmError('TSVMM_E_INTERRUPTED', 'stopped while it was starting'));
    return code;
  } catch (error) {
    if (reporter.isOpen) reporter.failed(error);
    else if (cluster !== undefined) keepLastWords(cluster.config.name, error);
    return error instanceof TsvmmError ? error.exitCode : exitCodes.failed;
  }
}

function keepLastWords(name: string, error: unknown): void {
  mkdirSync(dirname(failureLog(name)), { recursive: true, mode: 0o700 });
  writeFileSync(failureLog(name), `${new Date().toISOString()}\n${formatError(error)}`);
}
