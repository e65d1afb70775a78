import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageFiles } from './registry.ts';

const roles = ['kernel', 'initrd', 'disk'] as const;

/** The same files as paths below `directory`. */
export const filesIn = (directory: string, files: ImageFiles): ImageFiles => ({
  kernel: join(directory, files.kernel),
  ...(files.initrd === undefined ? {} : { initrd: join(directory, files.initrd) }),
  ...(files.disk === undefined ? {} : { disk: join(directory, files.disk) }),
});

/** The kernel first. */
export const listFiles = (files: ImageFiles): string[] => roles.flatMap(role => files[role] ?? []);

export const haveFiles = (files: ImageFiles): boolean => listFiles(files).every(path => existsSync(path));
