import type { Command } from 'commander';
import { formatOption } from '../ui/output.ts';

/** Each sub-verb loads what it needs when it runs. */
export function define(command: Command): void {
  command
    .command('create')
    .summary('make a disk, empty or over a base')
    .argument('<folder>', 'where the disk will be: a new folder')
    .option('--size <size>', 'such as 64MiB or 10GiB; with a base: at least its size if left out')
    .option('--base <file>', 'a raw image that is only read, and must not change from now on')
    .action(async (folder, options) => (await import('../disk/change.ts')).create(folder, options));
  command
    .command('info')
    .summary('show what a disk is made of')
    .argument('<folder>', 'the disk')
    .addOption(formatOption())
    .action(async (folder, options) => (await import('../disk/look.ts')).info(folder, options));
  command
    .command('check')
    .summary('check a disk without changing it; exit code 7 when it is damaged')
    .argument('<folder>', 'the disk')
    .option('--data', 'read all data too')
    .addOption(formatOption())
    .action(async (folder, options) => (await import('../disk/look.ts')).check(folder, options));
  command
    .command('export')
    .summary('copy what a disk reads as to a raw file')
    .argument('<folder>', 'the disk')
    .argument('<file>', 'the new file')
    .option('--layers <count>', 'only the lowest so many layers: the disk as it was at an earlier freeze')
    .action(async (folder, file, options) =>
      (await import('../disk/change.ts')).exportRaw(folder, file, options),
    );
  command
    .command('import')
    .summary('make a disk out of a raw or qcow2 image')
    .argument('<image>', 'the image; it is copied')
    .argument('<folder>', 'where the disk will be: a new folder')
    .addOption(command.createOption('--from <format>', 'what the image is').choices(['raw', 'qcow2']))
    .action(async (image, folder, options) =>
      (await import('../disk/change.ts')).importImage(image, folder, options),
    );
  command
    .command('merge')
    .summary('put adjacent layers of a disk into one')
    .argument('<folder>', 'the disk')
    .option('--first <layer>', 'position of the lowest, counted from 0 at the bottom')
    .option('--last <layer>', 'position of the highest')
    .action(async (folder, options) => (await import('../disk/change.ts')).merge(folder, options));
  command.addHelpText(
    'after',
    `
A disk is a folder of layers: each snapshot freezes the topmost and puts an empty one on it. Layers that snapshots
need stay theirs whatever is done to the disk.

Examples:
  tsvmm disk create data --size 10GiB
  tsvmm disk import debian.qcow2 debian
  tsvmm disk info debian
  tsvmm disk merge debian --last 3
  tsvmm disk export debian debian.raw`,
  );
}
