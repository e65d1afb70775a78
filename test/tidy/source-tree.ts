import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export const root = join(import.meta.dirname, '../..');
/** Folders of the product, and of what tests it. */
export const productFolders = ['vmm', 'snapshot', 'net', 'cli', 'guest-images'] as const;

export interface SourceFile {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
}

/** All files with one of these endings in these folders. */
export function sourceFiles(folders: readonly string[], endings: readonly string[]): SourceFile[] {
  return folders
    .filter(folder => existsSync(join(root, folder)))
    .flatMap(folder =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(file => join(folder, file)),
    )
    .filter(path => endings.some(ending => path.endsWith(ending)))
    .sort()
    .map(path => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

export interface Import {
  /** What the file names: a package, or a path from the root of the repository. */
  readonly target: string;
  /** Erased by the compiler: no code is loaded by it. */
  readonly typeOnly: boolean;
}

const STATEMENT = /^(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)/g;
/** Threads load modules too: startThread(import.meta.url, './x') and new IoThread(import.meta.url, './x'). */
const THREAD = /\(\s*import\.meta\.url,\s*'([^']+)'/g;

/** What a TypeScript file imports: statements, dynamic imports, modules of threads. */
export function importsOf({ path, text }: SourceFile): Import[] {
  const resolve = (name: string) => (name.startsWith('.') ? normalize(join(dirname(path), name)) : name);
  return [
    ...[...text.matchAll(STATEMENT)].map(([, type, name = '']) => ({
      target: resolve(name),
      typeOnly: type !== undefined,
    })),
    ...[...text.matchAll(DYNAMIC)].map(([, name = '']) => ({ target: resolve(name), typeOnly: false })),
    ...[...text.matchAll(THREAD)].map(([, name = '']) => ({
      target: `${resolve(name)}.ts`,
      typeOnly: false,
    })),
  ];
}

/** Import statements that load code when the module loads: those that can close a circle. */
export const loadedWith = ({ path, text }: SourceFile): string[] =>
  [...text.matchAll(STATEMENT)]
    .filter(([, type, name = '']) => type === undefined && name.startsWith('.'))
    .map(([, , name = '']) => normalize(join(dirname(path), name)));
