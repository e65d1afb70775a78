import type { Command } from 'commander';
import { stringify } from 'yaml';
import { loadCluster } from '../config/load.ts';
import { asClusterFile } from '../config/print.ts';
import { type FormatOptions, formatOption, print, printJson } from '../ui/output.ts';

interface Options extends FormatOptions {
  readonly quiet?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<file>', 'the cluster file; - reads it from stdin')
    .option('-q, --quiet', 'print nothing when the file is in order')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Prints the cluster with all defaults filled in, as a cluster file again. All problems are listed at once.

Examples:
  tsvmm validate examples/pair.yaml
  tsvmm validate --format json examples/pair.yaml`,
    )
    .action((file: string, { quiet, format }: Options) => {
      const cluster = asClusterFile(loadCluster(file));
      if (quiet) return;
      if (format === 'json') printJson(cluster);
      else print(stringify(cluster, { lineWidth: 0 }).trimEnd());
    });
}
