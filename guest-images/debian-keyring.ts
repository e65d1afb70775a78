import { existsSync } from 'node:fs';
import { TsvmmError } from '../vmm/errors.ts';

/** From the package debian-archive-keyring; which of them there is depends on its version. */
const KEYRINGS = ['gpg', 'pgp'].map(type => `/usr/share/keyrings/debian-archive-keyring.${type}`);

/** Throws TSVMM_E_TOOL_MISSING when there are no keys by which debootstrap can tell Debian's packages from others. */
export function requireKeyring(keyrings: readonly string[] = KEYRINGS): void {
  if (keyrings.some(path => existsSync(path))) return;
  const missing = ['debian-archive-keyring'];
  throw new TsvmmError('TSVMM_E_TOOL_MISSING', "building the guest image debian needs Debian's keys", {
    hint: `on Debian or Ubuntu: apt install ${missing}`,
    details: { missing },
  });
}
