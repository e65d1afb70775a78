/**
 * Built images on disk:
 *
 *     <images>/<name>/<content hash>-<compiler hash>/<file>   one folder for each state of the sources
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
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import { quickFingerprint } from './fingerprint.ts';
import { filesIn, haveFiles, listFiles } from './image-files.ts';
import type { GuestImage, ImageBuildOptions, ImageFiles } from './registry.ts';
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

export interface EnsureOptions extends Omit<ImageBuildOptions, 'cacheDirectory' | 'packages'> {
  /** Build even when the image is fresh. */
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
    publish(directory, image, { fingerprint, path });
    return filesIn(path, image.files);
  }

  /** Paths of an image, of whatever state of the sources. */
  latest(image: GuestImage, packages: readonly string[] = []): ImageFiles | undefined {
    const files = filesIn(this.directoryOf(image, packages), image.files);
    return haveFiles(files) ? files : undefined;
  }

  /** The choices of packages with which an image has been built. */
  variants({ name }: GuestImage): (readonly string[])[] {
    const prefix = `${name}+`;
    return list(this.paths.imagesDirectory)
      .filter(directory => directory.startsWith(prefix))
      .map(directory => directory.slice(prefix.length).split(','));
  }

  /** Paths of the image, built if it is missing or stale. Throws what the image's builder throws. */
  async ensure(
    image: GuestImage,
    { force, packages = [], ...options }: EnsureOptions,
  ): Promise<{ files: ImageFiles; built: boolean }> {
    const fresh = force ? undefined : await this.fresh(image, packages);
    if (fresh !== undefined) return { files: fresh, built: false };

    const sources = this.sourcesOf(image);
    const directory = this.directoryOf(image, packages);
    const fingerprint = quickFingerprint(sources, image);
    const path = buildFolder(join(directory, await buildName(sources, image)), image);
    removeAbandoned(directory);
    mkdirSync(directory, { recursive: true });
    const work = mkdtempSync(join(directory, `.build-${process.pid}-`));
    try {
      const { build } = await image.loadBuilder();
      const { cacheDirectory } = this.paths;
      await build(sources, work, { ...options, packages: sortedPackages(packages), cacheDirectory });
      mkdirSync(path, { recursive: true });
      for (const file of listFiles(image.files)) renameSync(join(work, file), join(path, file));
      const now = new Date();
      utimesSync(path, now, now);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    publish(directory, image, { fingerprint, path });
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

/**
 * A disk stays for ever and as it is, since disks of snapshots may lie on it: one that is built anew from the same sources
 * goes into a folder of its own.
 */
const buildFolder = (path: string, { files }: GuestImage): string =>
  files.disk !== undefined && existsSync(path) ? `${path}-${Date.now()}` : path;

function publish(directory: string, { files }: GuestImage, fresh: Fresh): void {
  const work = mkdtempSync(join(directory, `.new-${process.pid}-`));
  writeFileSync(join(work, 'fresh.json'), JSON.stringify(fresh));
  renameSync(join(work, 'fresh.json'), join(directory, 'fresh.json'));
  for (const file of listFiles(filesIn(fresh.path, files))) {
    symlinkSync(relative(directory, file), join(work, 'link'));
    renameSync(join(work, 'link'), join(directory, basename(file)));
  }
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
