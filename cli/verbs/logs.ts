import { type Command, InvalidArgumentError } from 'commander';
import { ControlClient } from '../api/client.ts';
import type { DroppedLines } from '../api/line-stream.ts';
import type { LogLine } from '../cluster/log-reader.ts';
import type { ClusterStatus } from '../cluster/status.ts';
import { findTarget } from '../home/target.ts';
import { endQuietlyOnSignals } from '../ui/abort.ts';
import { ConsolePrinter } from '../ui/console-printer.ts';
import { type FormatOptions, formatOption, narrate } from '../ui/output.ts';

interface Options extends FormatOptions {
  readonly follow?: boolean;
  readonly tail?: number;
  readonly timestamps?: boolean;
}

export function define(command: Command): void {
  command
    .argument('[cluster[/vm]]', 'the cluster, or one VM of it; may be left out when only one cluster runs')
    .option('-f, --follow', 'go on with what is said from now on, until Ctrl-C or the end of the cluster')
    .option('-n, --tail <lines>', 'begin with the last so many lines', lines)
    .option('-t, --timestamps', 'begin each line with its time')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
With --format json: one document per line, with time, vm and line.

Examples:
  tsvmm logs pair
  tsvmm logs -f -n 20 pair/server`,
    )
    .action(showLogs);
}

async function showLogs(target: string | undefined, options: Options): Promise<void> {
  const { entry, vm } = await findTarget(target);
  const client = new ControlClient(entry);
  const query = { vm, follow: options.follow === true, tail: options.tail };
  const { vms } = await client.get<ClusterStatus>('/v1/status');
  const show = printerOf(
    options,
    vms.map(({ name }) => name),
  );
  const signal = options.follow ? endQuietlyOnSignals() : undefined;
  const exchange = { method: 'GET', path: '/v1/logs', query, signal } as const;
  for await (const line of client.stream<LogLine | DroppedLines>(exchange)) {
    if ('dropped' in line)
      narrate(`(${line.dropped} lines were dropped: they came faster than they were read)`);
    else show(line);
  }
}

function printerOf({ format, timestamps }: Options, vms: readonly string[]): (line: LogLine) => void {
  if (format === 'json') return line => void process.stdout.write(`${JSON.stringify(line)}\n`);
  const printer = new ConsolePrinter(vms);
  return ({ time, vm, line }) => printer.print(vm, timestamps ? `${time} ${line}` : line);
}

function lines(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('expected a number of lines');
  return Number(text);
}
