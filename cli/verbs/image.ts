import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { type GuestImage, guestImages } from '../../guest-images/registry.ts';
import type { ImageStore } from '../../guest-images/store.ts';
import { imageVariantName } from '../../guest-images/variant-name.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { limits } from '../config/limits.ts';
import { ensureImage } from '../image/ensure.ts';
import { imageSize } from '../image/image-size.ts';
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
    .addOption(
      command
        .createOption('--packages <list>', 'put these packages of the distribution into it (debian)')
        .argParser(parsePackages),
    )
    .option('--force', 'build it in any case, from its sources')
    .addOption(formatOption())
    .action(buildImage);
  command.addHelpText(
    'after',
    `
"tsvmm run" builds what it needs by itself.

Examples:
  tsvmm image ls
  tsvmm image build bench
  tsvmm image build bench --lwip ~/src/lwip --force
  tsvmm image build debian --packages nginx,redis-server`,
  );
}

function parsePackages(text: string): string[] {
  const packages = text.split(',').filter(name => name !== '');
  const wrong = packages.find(name => !/^[a-z0-9][a-z0-9+.-]{1,63}$/.test(name));
  if (wrong !== undefined) throw new InvalidArgumentError(`"${wrong}" is not the name of a package`);
  if (packages.length > limits.packages)
    throw new InvalidArgumentError(`at most ${limits.packages} packages`);
  if (packages.join().length > limits.packagesLength)
    throw new InvalidArgumentError(
      `the names have more than ${limits.packagesLength} characters: leave out packages that others bring along`,
    );
  return packages;
}

async function listImages({ format }: FormatOptions): Promise<void> {
  const store = imageStore();
  const images = await Promise.all(
    guestImages.flatMap(image =>
      [[], ...store.variants(image)].map(packages => describeImage(store, image, packages)),
    ),
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

async function describeImage(store: ImageStore, image: GuestImage, packages: readonly string[]) {
  const fresh = await store.fresh(image, packages);
  const files = fresh ?? store.latest(image, packages);
  return {
    name: imageVariantName(image.name, packages),
    state: fresh === undefined ? (files === undefined ? 'missing' : 'stale') : 'ready',
    size_bytes: files === undefined ? null : imageSize(files),
    built: files === undefined ? null : statSync(dirname(files.kernel)).mtime.toISOString(),
    path: files?.kernel ?? null,
    files: files ?? null,
    summary: image.summary,
  };
}

interface BuildOptions extends FormatOptions {
  readonly lwip?: string;
  readonly packages?: readonly string[];
  readonly force?: boolean;
}

async function buildImage(name: string, { format, lwip, packages = [], force }: BuildOptions): Promise<void> {
  const image = findImage(name);
  if (packages.length > 0 && image.takesPackages !== true)
    throw new TsvmmError('TSVMM_E_USAGE', `the image ${name} takes no packages`);
  const signal = abortOnSignals();
  // Other sources of lwIP than last time cannot be told from the image.
  const options = { lwip, packages, force: force === true || lwip !== undefined, signal };
  const { files, built } = await ensureImage(imageStore(), image, options);
  const path = files.kernel;
  const variant = imageVariantName(name, packages);
  if (format === 'json') printJson({ name: variant, path, files, built, size_bytes: imageSize(files) });
  else print(path);
}
