import { statSync } from 'node:fs';
import { imageStore } from '../../cli/image/images.ts';
import { guestImages } from '../../guest-images/registry.ts';
import { lacksDevice } from '../support.ts';

const [bench] = guestImages.filter(({ name }) => name === 'bench');

/** Path of the built-in guest, built if need be. */
export async function benchImage(): Promise<string> {
  if (bench === undefined) throw new Error('the registry has no image "bench"');
  const { files } = await imageStore().ensure(bench, { progress: () => {} });
  return files.kernel;
}

/** Why this machine cannot run a VM, or undefined if it can. */
export const lacksKvm = (): string | undefined => lacksDevice('/dev/kvm');

/** Why nobody lacks the permission to use it here, or undefined if some do. */
export const kvmIsEverybodys = (): string | undefined =>
  ((statSync('/dev/kvm', { throwIfNoEntry: false })?.mode ?? 0) & 0o006) === 0o006
    ? 'everybody may use /dev/kvm'
    : undefined;
