import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The modules of one kernel in a root file system, and what they need (modules.dep, depmod(8)). */
export class KernelModules {
  private readonly folder: string;
  /** Paths of what a module needs, nearest first, by its path. */
  private readonly needs = new Map<string, readonly string[]>();
  private readonly paths = new Map<string, string>();

  /** Throws ENOENT when the root file system has no modules of this version. It may have those of others: packages bring some. */
  constructor(root: string, version: string) {
    this.folder = join(root, 'lib/modules', version);
    for (const line of readFileSync(join(this.folder, 'modules.dep'), 'utf8').split('\n')) {
      const [path = '', needed = ''] = line.split(':');
      if (path === '') continue;
      this.needs.set(path, needed.split(' ').filter(Boolean));
      this.paths.set(moduleName(path), path);
    }
  }

  /** Files of these modules and of all they need, each after what it needs. Modules that are built in have none. */
  inOrder(names: readonly string[]): { readonly name: string; readonly content: Uint8Array }[] {
    const paths = names.flatMap(name => {
      const path = this.paths.get(moduleName(name));
      // modules.dep lists all that is needed, the last to be loaded first.
      return path === undefined ? [] : [...[...(this.needs.get(path) ?? [])].reverse(), path];
    });
    return [...new Set(paths)].map(path => ({
      name: path.split('/').at(-1) as string,
      content: readFileSync(join(this.folder, path)),
    }));
  }
}

/** The kernel takes "-" and "_" for the same. */
const moduleName = (path: string): string =>
  (path.split('/').at(-1) as string).replace(/\.ko(\.\w+)?$/, '').replaceAll('-', '_');
