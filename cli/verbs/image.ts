import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { guestImages } from '../../guest-images/registry.ts';
import { ensureImage } from '../image/ensure.ts';
import { findImage, imageStore } from '../image/images.ts';
import { abortOnSignals } from '../ui/abort.ts';
import { type FormatOptions, formatOption, print, printJson } from '../ui/output.ts';
import { styledTable } from '../ui/table.ts';
import { humanSize, humanSpan } from '../ui/units.ts';

export function define(command: Command): void {
  command
    .command('ls')
    .description('list the images and whether they are built')
    .addOption(formatOption())
    .action(listImages);
  command
    .command('build')
    .description('build an image, unless it is built from the same sources already')
    .argument('<name>', 'the image, such as bench')
    .option('--lwip <dir>', 'use these sources of lwIP instead of fetching them')
    .option('--force', 'build it in any case')
    .addOption(formatOption())
    .action(buildImage);
  command.addHelpText(
    'after',
    `
"tsvmm run" builds what it needs by itself.

Examples:
  tsvmm image ls
  tsvmm image build bench
  tsvmm image build bench --lwip ~/src/lwip --force`,
  );
}

async function listImages({ format }: FormatOptions): Promise<void> {
  const store = imageStore();
  const images = await Promise.all(
    guestImages.map(async image => {
      const fresh = await store.fresh(image);
      const path = fresh ?? store.latest(image);
      const stat = path === undefined ? undefined : statSync(path);
      return {
        name: image.name,
        state: fresh === undefined ? (path === undefined ? 'missing' : 'stale') : 'ready',
        size_bytes: stat?.size ?? null,
        built: stat?.mtime.toISOString() ?? null,
        path: path ?? null,
        summary: image.summary,
      };
    }),
  );
  if (format === 'json') return printJson(images);
  const rows = images.map(image => [
    image.name,
    image.state,
    image.size_bytes === null ? '-' : humanSize(image.size_bytes),
    image.built === null ? '-' : `${humanSpan(Date.now() - Date.parse(image.built))} ago`,
    image.summary,
  ]);
  print(styledTable(['IMAGE', 'STATE', 'SIZE', 'BUILT', 'WHAT IT IS'], rows));
}

interface BuildOptions extends FormatOptions {
  readonly lwip?: string;
  readonly force?: boolean;
}

async function buildImage(name: string, { format, lwip, force }: BuildOptions): Promise<void> {
  const image = findImage(name);
  const signal = abortOnSignals();
  // Other sources of lwIP than last time cannot be told from the image.
  const options = { lwip, force: force === true || lwip !== undefined, signal };
  const { path, built } = await ensureImage(imageStore(), image, options);
  if (format === 'json') printJson({ name, path, built, size_bytes: statSync(path).size });
  else print(path);
}
