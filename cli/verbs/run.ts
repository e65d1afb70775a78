import { type Command, InvalidArgumentError } from 'commander';
import type { RunRequest, RunSource } from '../cluster/run.ts';
import { type FormatOptions, formatOption } from '../ui/output.ts';

export interface RunOptions extends FormatOptions {
  readonly detach?: boolean;
  readonly name?: string;
  readonly timeout: number;
  /** Given to the detached process: where to report, and where its own messages go. */
  readonly reportFd?: string;
  readonly controlLog?: string;
}

export function define(command: Command): void {
  command
    .argument('<file>', 'the cluster file')
    .option('-d, --detach', 'run in the background; return when every guest has booted')
    .option('--name <name>', "run it under this name instead of the file's");
  addRunOptions(command)
    .addHelpText(
      'after',
      `
In the foreground the consoles are shown, each line after its VM's name. Ctrl-C stops the cluster; a second one does so
at once. A guest image that is missing is built first. With --format json: events and console lines, one per line.

Examples:
  tsvmm run examples/one.yaml
  tsvmm run -d examples/pair.yaml && tsvmm logs -f pair
  tsvmm run --name other examples/pair.yaml`,
    )
    .action(run);
}

const run = (file: string, options: RunOptions): Promise<void> => runSource({ file }, ['run', file], options);

/** Runs what `source` says; `words` are the verb and the arguments by which a detached process gets it again. */
export async function runSource(
  source: RunSource,
  words: readonly string[],
  options: RunOptions,
): Promise<void> {
  if (options.detach) {
    const { runDetached } = await import('../cluster/detach.ts');
    return runDetached(words, options);
  }
  const { runCluster } = await import('../cluster/run.ts');
  const request: RunRequest = { source, name: options.name };
  if (options.reportFd !== undefined && options.controlLog !== undefined) {
    const { runAsDetached } = await import('../cluster/detached-process.ts');
    process.exitCode = await runAsDetached(request, {
      reportFd: Number(options.reportFd),
      controlLog: options.controlLog,
      timeout_ms: options.timeout * 1000,
    });
    return;
  }
  const { createRunView } = await import('../ui/run-view.ts');
  process.exitCode = await runCluster(request, createRunView(options.format));
  if (process.env.TSVMM_TIMING) (await import('../ui/timing.ts')).printTiming();
}

/** What all verbs that run a cluster take. */
export const addRunOptions = (command: Command): Command =>
  command
    .option('--timeout <seconds>', 'with -d: how long the guests may take to boot', seconds, 60)
    .addOption(formatOption())
    .addOption(command.createOption('--report-fd <fd>').hideHelp())
    .addOption(command.createOption('--control-log <file>').hideHelp());

/** What an option in seconds says; up to a day. */
export function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400)) throw new InvalidArgumentError('expected seconds, such as 30');
  return value;
}
