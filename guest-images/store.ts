/**
 * Built images on disk:
 *
 *     <images>/<name>/<content hash>-<compiler hash>/<file>   one folder for each state of the sources; more, with a number,
 *                                                             if it was built anew
 *     <images>/<name>/<file>                                  links to the files built or used last
 *     <images>/<name>/fresh.json                              what the quick check compares
 *
 * <name> is the image's, followed by the packages that it has: debian+nginx,redis-server. Everything appears by rename,
 * so that builds may run side by side and a reader never sees half of one.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import { TsvmmError } from '../vmm/errors.ts';
import { removeAbandoned } from './abandoned.ts';
import { quickFingerprint } from './fingerprint.ts';
import { filesIn, haveFiles, listFiles } from './image-files.ts';
import type { GuestImage, ImageBuildOptions, ImageFiles } from './registry.ts';
import { syncFiles } from './sync-files.ts';
import { imageVariantName, sortedPackages } from './variant-name.ts';

/** States of the sources that are kept, so that going back and forth between two does not rebuild. */
const KEPT_BUILDS = 3;
const NO_COMPILER = '0'.repeat(8);

interface Fresh {
  readonly fingerprint: string;
  /** The build's folder. */
  readonly path: string;
}

export interface StorePaths {
  /** Where the images' sources are found. */
  readonly packageRoot: string;
  readonly imagesDirectory: string;
  readonly cacheDirectory: string;
}

export interface EnsureOptions extends Omit<ImageBuildOptions, 'cacheDirectory' | 'packages' | 'anew'> {
  /** Build even when the image is fresh, and from its sources. */
  readonly force?: boolean | undefined;
  /** Packages of the distribution that the image is to have; each choice is an image of its own. */
  readonly packages?: readonly string[] | undefined;
}

export class ImageStore {
  private readonly paths: StorePaths;

  constructor(paths: StorePaths) {
    this.paths = paths;
  }

  /** Paths of the image if it is built and fresh. Takes a few milliseconds unless the sources were touched. */
  async fresh(image: GuestImage, packages: readonly string[] = []): Promise<ImageFiles | undefined> {
    const directory = this.directoryOf(image, packages);
    const fingerprint = quickFingerprint(this.sourcesOf(image), image);
    const fresh = readFresh(directory);
    if (fresh?.fingerprint === fingerprint) {
      const files = filesIn(fresh.path, image.files);
      if (haveFiles(files)) return files;
    }
    // Touched, checked out anew, or used from another checkout: what counts is the content.
    const path = await this.findBuild(image, directory);
    if (path === undefined) return undefined;
    try {
      publish(directory, image, { fingerprint, path });
    } catch {
      // Somebody else's folder, or a full disk: the next one looks at the content again, that is all.
    }
    return filesIn(path, image.files);
  }

  /** Paths of an image, of whatever state of the sources. */
  latest(image: GuestImage, packages: readonly string[] = []): ImageFiles | undefined {
    const files = filesIn(this.directoryOf(image, packages), image.files);
    return haveFiles(files) ? files : undefined;
  }

  /** The choices of packages with which an image has been built. */
  variants(image: GuestImage): (readonly string[])[] {
    const prefix = `${image.name}+`;
    return list(this.paths.imagesDirectory)
      .filter(directory => directory.startsWith(prefix))
      .map(directory => directory.slice(prefix.length).split(','))
      .filter(packages => this.latest(image, packages) !== undefined);
  }

  /** Paths of the image, built if it is missing or stale. Throws TSVMM_E_IMAGE_BUILD, and what the image's builder throws. */
  async ensure(
    image: GuestImage,
    { force, packages = [], ...options }: EnsureOptions,
  ): Promise<{ files: ImageFiles; built: boolean }> {
    const fresh = force ? undefined : await this.fresh(image, packages);
    if (fresh !== undefined) return { files: fresh, built: false };

    const sources = this.sourcesOf(image);
    const directory = this.directoryOf(image, packages);
    const fingerprint = quickFingerprint(sources, image);
    const place = join(directory, await buildName(sources, image));
    const work = workFolder(directory);
    let path = place;
    try {
      const { build } = await image.loadBuilder();
      const { cacheDirectory } = this.paths;
      const how = { ...options, packages: sortedPackages(packages), cacheDirectory, anew: force };
      await build(sources, work, how);
      const made = join(work, 'image');
      mkdirSync(made);
      const names = listFiles(image.files);
      for (const name of names) renameSync(join(work, name), join(made, name));
      syncFiles(made, names);
      // Somebody else may have been quicker, which is as good, unless it was to be made anew.
      if (force || !haveFiles(filesIn(place, image.files))) path = settle(made, place);
      publish(directory, image, { fingerprint, path });
    } catch (error) {
      throw isSystemError(error) ? cannot(`make the guest image ${image.name}`, error) : error;
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    if (image.files.disk === undefined) removeOld(directory, path);
    return { files: filesIn(path, image.files), built: true };
  }

  /** The folder of a build of the present sources. */
  private async findBuild(image: GuestImage, directory: string): Promise<string | undefined> {
    if (!existsSync(directory)) return undefined;
    const { compilerIdentity } = await import('./fingerprint.ts');
    const name = await buildName(this.sourcesOf(image), image);
    // Without a compiler, what some other one made of the same sources is as good as it gets.
    const prefix = image.isCompiled && compilerIdentity() === '' ? name.replace(/[^-]*$/, '') : name;
    return list(directory)
      .filter(found => found.startsWith(prefix))
      .sort()
      .reverse()
      .map(found => join(directory, found))
      .find(path => haveFiles(filesIn(path, image.files)));
  }

  private readonly sourcesOf = ({ sources }: GuestImage): string => join(this.paths.packageRoot, sources);
  private readonly directoryOf = ({ name }: GuestImage, packages: readonly string[]): string =>
    join(this.paths.imagesDirectory, imageVariantName(name, packages));
}

async function buildName(sources: string, { isCompiled }: GuestImage): Promise<string> {
  const { contentHash, compilerHash } = await import('./content-hash.ts');
  return `${contentHash(sources)}-${isCompiled ? compilerHash() : NO_COMPILER}`;
}

/** A new folder to build in. Throws TSVMM_E_IMAGE_BUILD when `directory` cannot be written. */
function workFolder(directory: string): string {
  try {
    removeAbandoned(directory);
    mkdirSync(directory, { recursive: true });
    return mkdtempSync(join(directory, `.build-${process.pid}-`));
  } catch (cause) {
    throw cannot(`write ${directory}`, cause);
  }
}

const cannot = (what: string, cause: unknown): TsvmmError =>
  new TsvmmError('TSVMM_E_IMAGE_BUILD', `cannot ${what}`, {
    cause,
    hint: 'does a folder belong to another user, or is the disk full?',
  });

const isSystemError = (error: unknown): boolean => (error as NodeJS.ErrnoException).errno !== undefined;

/**
 * Moves a build to `place`, or beside it if there is one already, and answers where it is. What is there stays as it is:
 * disks of snapshots may lie on it, and a build of the same sources need not have the same packages.
 */
function settle(made: string, place: string): string {
  for (let path = place; ; path = `${place}-${Date.now()}`) {
    try {
      renameSync(made, path);
      return path;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST' && code !== 'ENOTEMPTY') throw error;
    }
  }
}

function publish(directory: string, { files }: GuestImage, fresh: Fresh): void {
  const work = mkdtempSync(join(directory, `.new-${process.pid}-`));
  try {
    writeFileSync(join(work, 'fresh.json'), JSON.stringify(fresh));
    renameSync(join(work, 'fresh.json'), join(directory, 'fresh.json'));
    for (const file of listFiles(filesIn(fresh.path, files))) {
      symlinkSync(relative(directory, file), join(work, 'link'));
      renameSync(join(work, 'link'), join(directory, basename(file)));
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
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

function removeOld(directory: string, current: string): void {
  const builds = list(directory)
    .filter(name => /^[0-9a-f]{16}-[0-9a-f]{8}(-\d+)?$/.test(name))
    .map(name => join(directory, name))
    .filter(path => path !== current)
    .sort((a, b) => builtAt(b) - builtAt(a));
  for (const path of builds.slice(KEPT_BUILDS - 1)) rmSync(path, { recursive: true, force: true });
}

/** Other builds remove old ones at the same time. */
const builtAt = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

const list = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : []);
