import type { GuestImage, ImageFiles } from '../../guest-images/registry.ts';
import type { EnsureOptions, ImageStore } from '../../guest-images/store.ts';
import { imageVariantName } from '../../guest-images/variant-name.ts';
import { homeDirectory } from '../home/layout.ts';
import { Progress } from '../ui/progress.ts';
import { humanSize } from '../ui/units.ts';
import { imageSize } from './image-size.ts';
import { asSudoUser } from './sudo-user.ts';

/** Paths of an image, which is built, with progress on stderr, unless it is fresh. */
export async function ensureImage(
  store: ImageStore,
  image: GuestImage,
  options: Omit<EnsureOptions, 'progress'> = {},
): Promise<{ files: ImageFiles; built: boolean }> {
  const progress = new Progress(`guest image ${imageVariantName(image.name, options.packages ?? [])}`);
  const started_ms = performance.now();
  try {
    const result = await asSudoUser(homeDirectory(), () =>
      store.ensure(image, { ...options, progress: text => progress.step(text) }),
    );
    const seconds = ((performance.now() - started_ms) / 1000).toFixed(1);
    progress.end(result.built ? `built in ${seconds} s, ${humanSize(imageSize(result.files))}` : undefined);
    return result;
  } catch (error) {
    progress.end();
    throw error;
  }
}
