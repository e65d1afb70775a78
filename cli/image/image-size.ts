import { statSync } from 'node:fs';
import { listFiles } from '../../guest-images/image-files.ts';
import type { ImageFiles } from '../../guest-images/registry.ts';

/** Bytes of a built image on the host's disk: that of a guest is mostly empty. */
export const imageSize = (files: ImageFiles): number =>
  listFiles(files).reduce((sum, path) => sum + statSync(path).blocks * 512, 0);
