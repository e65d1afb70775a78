import { type GuestImage, guestImages } from '../../guest-images/registry.ts';
import { ImageStore } from '../../guest-images/store.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { cacheDirectory, imagesDirectory } from '../home/layout.ts';
import { packageRoot } from '../package-root.ts';
import { suggest } from '../ui/suggest.ts';

/** The images built under $TSVMM_HOME. */
export const imageStore = (): ImageStore =>
  new ImageStore({ packageRoot, imagesDirectory: imagesDirectory(), cacheDirectory: cacheDirectory() });

/** Throws TSVMM_E_IMAGE_NOT_FOUND. */
export function findImage(name: string): GuestImage {
  const image = guestImages.find(candidate => candidate.name === name);
  if (image !== undefined) return image;
  const names = guestImages.map(candidate => candidate.name);
  const similar = suggest(name, names);
  throw new TsvmmError('TSVMM_E_IMAGE_NOT_FOUND', `there is no image "${name}"`, {
    hint: similar === undefined ? `the images are: ${names.join(', ')}` : `did you mean "${similar}"?`,
  });
}
