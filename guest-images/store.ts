/**
 * Built images on disk:
 *
 *     <images>/<name>/<content hash>-<compiler hash>/guest.elf   one for each state of the sources
 *     <images>/<name>/guest.elf                                  a link to the one built or used last
 *     <images>/<name>/fresh.json                                 what the quick check compares
 *
 * Everything appears by rename, so that builds may run side by side and a reader never sees half of one.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import { quickFingerprint } from './fingerprint.ts';
import type { GuestImage, ImageBuildOptions } from './registry.ts';

/** States of the sources that are kept, so that going back and forth between two does not rebuild. */
const KEPT_BUILDS = 3;

interface Fresh {
  readonly fingerprint: string;
  readonly path: string;
}

export interface StorePaths {
  /** Where the images' sources are found. */
  readonly packageRoot: string;
  readonly imagesDirectory: string;
  readonly cacheDirectory: string;
}

export interface EnsureOptions extends Omit<ImageBuildOptions, 'cacheDirectory'> {
  /** Build even when the image is fresh. */
  readonly force?: boolean | undefined;
}

export class ImageStore {
  private readonly paths: StorePaths;

  constructor(paths: StorePaths) {
    this.paths = paths;
  }

  /** Path of the image if it is built and fresh. Takes a few milliseconds unless the sources were touched. */
  async fresh(image: GuestImage): Promise<string | undefined> {
    const directory = this.directoryOf(image);
    const fingerprint = quickFingerprint(this.sourcesOf(image));
    const fresh = readFresh(directory);
    if (fresh?.fingerprint === fingerprint && existsSync(fresh.path)) return fresh.path;

    // Touched, checked out anew, or used from another checkout: what counts is the content.
    const path = await this.findBuild(image);
    if (path !== undefined) publish(directory, { fingerprint, path });
    return path;
  }

  /** Path of an image, of whatever state of the sources. */
  latest(image: GuestImage): string | undefined {
    const path = join(this.directoryOf(image), image.file);
    return existsSync(path) ? path : undefined;
  }

  /** Path of the image, built if it is missing or stale. Throws what the image's builder throws. */
  async ensure(
    image: GuestImage,
    { force, ...options }: EnsureOptions,
  ): Promise<{ path: string; built: boolean }> {
    const fresh = force ? undefined : await this.fresh(image);
    if (fresh !== undefined) return { path: fresh, built: false };

    const { contentHash, compilerHash } = await import('./content-hash.ts');
    const sources = this.sourcesOf(image);
    const directory = this.directoryOf(image);
    const fingerprint = quickFingerprint(sources);
    const target = join(directory, `${contentHash(sources)}-${compilerHash()}`);
    removeAbandoned(directory);
    mkdirSync(directory, { recursive: true });
    const work = mkdtempSync(join(directory, `.build-${process.pid}-`));
    try {
      const { build } = await image.loadBuilder();
      await build(sources, work, { ...options, cacheDirectory: this.paths.cacheDirectory });
      mkdirSync(target, { recursive: true });
      renameSync(join(work, image.file), join(target, image.file));
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    const path = join(target, image.file);
    publish(directory, { fingerprint, path });
    removeOld(directory, target);
    return { path, built: true };
  }

  private async findBuild(image: GuestImage): Promise<string | undefined> {
    const directory = this.directoryOf(image);
    if (!existsSync(directory)) return undefined;
    const { contentHash, compilerHash } = await import('./content-hash.ts');
    const { compilerIdentity } = await import('./fingerprint.ts');
    const content = contentHash(this.sourcesOf(image));
    // Without a compiler, what some other one made of the same sources is as good as it gets.
    const suffix = compilerIdentity() === '' ? '' : compilerHash();
    return list(directory)
      .filter(name => name.startsWith(`${content}-${suffix}`))
      .map(name => join(directory, name, image.file))
      .find(path => existsSync(path));
  }

  private readonly sourcesOf = ({ sources }: GuestImage): string => join(this.paths.packageRoot, sources);
  private readonly directoryOf = ({ name }: GuestImage): string => join(this.paths.imagesDirectory, name);
}

function publish(directory: string, fresh: Fresh): void {
  const work = mkdtempSync(join(directory, `.new-${process.pid}-`));
  writeFileSync(join(work, 'fresh.json'), JSON.stringify(fresh));
  renameSync(join(work, 'fresh.json'), join(directory, 'fresh.json'));
  symlinkSync(relative(directory, fresh.path), join(work, 'link'));
  renameSync(join(work, 'link'), join(directory, basename(fresh.path)));
  rmdirSync(work);
}

function readFresh(directory: string): Fresh | undefined {
  try {
    const { fingerprint, path } = JSON.parse(readFileSync(join(directory, 'fresh.json'), 'utf8'));
    return typeof fingerprint === 'string' && typeof path === 'string' ? { fingerprint, path } : undefined;
  } catch {
    // Missing, or not ours: as good as stale.
    return undefined;
  }
}

/** What builds left that were killed. */
function removeAbandoned(directory: string): void {
  for (const name of list(directory)) {
    const pid = /^\.(?:build|new)-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) {
      rmSync(join(directory, name), { recursive: true, force: true });
    }
  }
}

function removeOld(directory: string, current: string): void {
  const builds = list(directory)
    .filter(name => /^[0-9a-f]{16}-[0-9a-f]{8}$/.test(name))
    .map(name => join(directory, name))
    .filter(path => path !== current)
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const path of builds.slice(KEPT_BUILDS - 1)) rmSync(path, { recursive: true, force: true });
}

const list = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : []);
