import { type Command, InvalidArgumentError } from 'commander';
import { type WorkName, workNames } from '../bench/disk/works.ts';
import { SNAP_PARTS, type SnapPart } from '../bench/snap/parts.ts';
import { limits } from '../config/limits.ts';
import { parseSize } from '../config/units.ts';
import { type FormatOptions, formatOption } from '../ui/output.ts';

interface Options extends FormatOptions {
  readonly rounds: number;
}

export function define(command: Command): void {
  command
    .command('boot')
    .description('time to a running guest, and memory beside it: tsvmm run, a second VM, QEMU microvm')
    .option('--rounds <n>', 'rounds that count', wholeNumber, 15)
    .option('--memory <size>', 'memory of each guest', size, 128 * 2 ** 20)
    .addOption(formatOption())
    .action(async ({ memory, ...options }: Options & { memory: number }) => {
      const { benchBoot } = await import('../bench/boot/boot.ts');
      await benchBoot({ ...options, memory_bytes: memory });
    });
  command
    .command('exits')
    .description('cost of leaving a guest and of entering it, beside the same in C')
    .option('--rounds <n>', 'rounds that count', wholeNumber, 7)
    .option('--samples <n>', 'of each kind in a round', wholeNumber, 1000)
    .addOption(formatOption())
    .action(async (options: Options & { samples: number }) => {
      const { benchExits } = await import('../bench/exits/exits.ts');
      await benchExits(options);
    });
  command
    .command('snap')
    .description('cost of a snapshot of one VM under load, step by step, beside what QEMU has')
    .option('--rounds <n>', 'snapshots of each kind', wholeNumber, 30)
    .option('--memory <size>', 'memory of the guest (default 1GiB); for sizes, of the largest (4GiB)', size)
    .addOption(
      command.createOption('--part <part>', 'what to measure').choices(SNAP_PARTS).default('downtime'),
    )
    .addOption(formatOption())
    .action(async ({ memory, ...options }: Options & { memory?: number; part: SnapPart }) => {
      const { benchSnap } = await import('../bench/snap/snap.ts');
      await benchSnap({ ...options, memory_bytes: memory ?? (options.part === 'sizes' ? 4 : 1) * 2 ** 30 });
    });
  command
    .command('cluster')
    .description('how long snapshots keep TCP waiting: hot ones, stop-and-copy, pre-copy; 2 to 16 VMs')
    .option('--rounds <n>', 'snapshots of each kind', wholeNumber, 5)
    .option('--vms <list>', 'numbers of VMs', sizes, [2, 4, 8, 16])
    .option('--memory <size>', 'memory of each guest', size, 64 * 2 ** 20)
    .addOption(formatOption())
    .action(async ({ memory, vms, ...options }: Options & { memory: number; vms: number[] }) => {
      const { benchCluster } = await import('../bench/cluster/cluster.ts');
      await benchCluster({ ...options, sizes: vms, memory_bytes: memory });
    });
  command
    .command('net')
    .description('requests per second and throughput between two guests, beside QEMU on a Linux bridge')
    .option('--rounds <n>', 'rounds that count', wholeNumber, 5)
    .option('--seconds <n>', 'that each measurement lasts', wholeNumber, 3)
    .addOption(formatOption())
    .action(async (options: Options & { seconds: number }) => {
      const { benchNet } = await import('../bench/net/net.ts');
      await benchNet(options);
    });
  command
    .command('disk')
    .description('random and sequential reads and writes, beside QEMU with raw and qcow2 files')
    .option('--rounds <n>', 'rounds that count', wholeNumber, 3)
    .option('--seconds <n>', 'that each measurement lasts', wholeNumber, 2)
    .addOption(formatOption())
    .addOption(
      command
        .createOption('--work <work>', 'what to measure')
        .choices(['all', ...workNames])
        .default('all'),
    )
    .action(async (options: Options & { seconds: number; work: WorkName | 'all' }) => {
      const { benchDisk } = await import('../bench/disk/disk.ts');
      await benchDisk(options);
    });
  command
    .command('scale')
    .description(
      'many idle guests in one process: time to all ready, memory beside guest RAM, processor time',
    )
    .option('--rounds <n>', 'rounds that count', wholeNumber, 3)
    .option('--seconds <n>', 'that they idle', wholeNumber, 5)
    .addOption(command.createOption('--vms <n>', 'guests').argParser(vmCount).default(16))
    .addOption(formatOption())
    .action(async (options: Options & { seconds: number; vms: number }) => {
      const { benchScale } = await import('../bench/scale/scale.ts');
      await benchScale(options);
    });
  command.addHelpText(
    'after',
    `
Those that are compared take turns within one run, so that whatever else the machine does meets all alike. Numbers are
medians with their median absolute deviations.

Examples:
  tsvmm bench boot
  tsvmm bench exits --format json`,
  );
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 1 && value <= 10_000)) {
    throw new InvalidArgumentError('expected a whole number from 1 to 10000');
  }
  return value;
}

function vmCount(text: string): number {
  const value = wholeNumber(text);
  if (value > limits.vms) throw new InvalidArgumentError(`a cluster has at most ${limits.vms} VMs`);
  return value;
}

function sizes(text: string): number[] {
  const values = text.split(',').map(Number);
  if (!values.every(value => Number.isInteger(value) && value >= 2 && value <= 64)) {
    throw new InvalidArgumentError('expected numbers from 2 to 64, such as 2,4,8,16');
  }
  return values;
}

function size(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined || bytes % 2 ** 21 !== 0 || bytes === 0) {
    throw new InvalidArgumentError('expected a multiple of 2MiB, such as 128MiB');
  }
  return bytes;
}
