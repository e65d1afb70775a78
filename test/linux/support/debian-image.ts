import { readFileSync } from 'node:fs';
import { findImage, imageStore } from '../../../cli/image/images.ts';
import { lacksKvm } from '../../support/bench-image.ts';

/** What the tests need in the guest. */
export const PACKAGES = ['iperf3', 'redis-server'];

/**
 * Why Debian guests cannot be tested here, or undefined. The image is not built for a test, since that takes minutes,
 * root and the network.
 */
export async function lacksDebian(): Promise<string | undefined> {
  const obstacle = lacksKvm();
  if (obstacle !== undefined) return obstacle;
  if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'latin1')))
    return 'a stock kernel takes too long without hardware virtualization';
  const built = await imageStore().fresh(findImage('debian'), PACKAGES);
  return built === undefined
    ? `not built: tsvmm image build debian --packages ${PACKAGES.join(',')}`
    : undefined;
}
