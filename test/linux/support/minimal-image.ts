import { findImage, imageStore } from '../../../cli/image/images.ts';
import { lacksKvm } from '../../support/bench-image.ts';

/** Why minimal Linux guests cannot be tested here, or undefined. The image is not built for a test: that takes minutes. */
export async function lacksMinimal(): Promise<string | undefined> {
  const obstacle = lacksKvm();
  if (obstacle !== undefined) return obstacle;
  const built = await imageStore().fresh(findImage('linux'));
  return built === undefined ? 'not built: tsvmm image build linux' : undefined;
}
