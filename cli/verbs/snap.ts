import type { Command } from 'commander';
import { formatOption } from '../ui/output.ts';
import { seconds } from './run.ts';

/** Each sub-verb loads what it needs when it runs. */
export function define(command: Command): void {
  command
    .command('create', { isDefault: true })
    .summary('take a live snapshot of a running cluster (also: tsvmm snap CLUSTER)')
    .argument('[cluster]', 'the cluster; may be left out when only one runs')
    .option('--name <name>', 'name of the snapshot; s1, s2, ... if left out')
    .option('--no-wait', 'return when all VMs have made their cut; the rest is saved behind it')
    .addOption(
      command
        .createOption('--method <method>', 'how')
        .choices(['hotsnap', 'stop-copy', 'pre-copy'])
        .default('hotsnap'),
    )
    .addOption(
      command
        .createOption('--cow <mechanism>', 'how memory is write-protected; auto: what suits host and guests')
        .choices(['auto', 'mprotect', 'userfaultfd'])
        .default('auto'),
    )
    .addOption(
      command
        .createOption('--filter <mode>', 'what happens to frames sent after their sender had its cut')
        .choices(['hold', 'drop', 'off'])
        .default('hold'),
    )
    .option(
      '--incremental',
      "save only what has changed since the cluster's last snapshot, and refer to that",
    )
    .addOption(
      command
        .createOption('--compress <codec>', 'compress memory while it is saved')
        .choices(['none', 'zstd', 'lz4'])
        .default('none'),
    )
    .option('--timeout <seconds>', 'give up when it is not complete by then', seconds, 600)
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
The cluster runs on while it is saved; only each VM's cut stops it, for about a millisecond.

Examples:
  tsvmm snap pair
  tsvmm snap pair --name before-upgrade --format json
  tsvmm snap pair --incremental --compress zstd
  tsvmm restore pair/before-upgrade --name again`,
    )
    .action(async (cluster, options) =>
      (await import('../snapshot/create.ts')).createSnapshot(cluster, options),
    );
  command
    .command('ls')
    .summary('list snapshots')
    .argument('[cluster]', 'only those of this cluster')
    .addOption(formatOption())
    .action(async (cluster, options) => (await import('../snapshot/look.ts')).listAll(cluster, options));
  command
    .command('inspect')
    .summary('show what is in a snapshot, and how it was taken')
    .argument('<snapshot>', 'cluster/name, or its folder')
    .option('--svg <file>', 'draw the timeline of the snapshot into this file ("-": stdout)')
    .addOption(formatOption())
    .action(async (name, options) => (await import('../snapshot/look.ts')).inspect(name, options));
  command
    .command('verify')
    .summary('check every checksum and every reference')
    .argument('<snapshot>', 'cluster/name, or its folder')
    .addOption(formatOption())
    .action(async (name, options) => (await import('../snapshot/verify.ts')).verify(name, options));
  command
    .command('flatten')
    .summary('make incremental snapshots stand alone, so that their parents may be removed')
    .argument('<snapshot...>', 'cluster/name')
    .action(async names => (await import('../snapshot/flatten.ts')).flatten(names));
  command
    .command('rm')
    .summary('remove snapshots; refused while others build on them')
    .argument('<snapshot...>', 'cluster/name')
    .action(async names => (await import('../snapshot/remove.ts')).remove(names));
}
