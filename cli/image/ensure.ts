import type { GuestImage } from '../../guest-images/registry.ts';
import type { EnsureOptions, ImageStore } from '../../guest-images/store.ts';
import { Progress } from '../ui/progress.ts';

/** Path of an image, which is built, with progress on stderr, unless it is fresh. */
export async function ensureImage(
  store: ImageStore,
  image: GuestImage,
  options: Omit<EnsureOptions, 'progress'> = {},
): Promise<{ path: string; built: boolean }> {
  const progress = new Progress(`guest image ${image.name}`);
  const started_ms = performance.now();
  try {
    const result = await store.ensure(image, { ...options, progress: text => progress.step(text) });
    const seconds = ((performance.now() - started_ms) / 1000).toFixed(1);
    progress.end(result.built ? `built in ${seconds} s` : undefined);
    return result;
  } catch (error) {
    progress.end();
    throw error;
  }
}
