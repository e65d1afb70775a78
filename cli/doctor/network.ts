import { type Check, type Finding, pass, warn } from './check.ts';
import { accessError, hasCapability } from './privileges.ts';

const CAP_NET_ADMIN = 12;
const NEEDED_FOR = 'only networks with a tap need it';

export const networkChecks: readonly Check[] = [{ name: 'tun', run: () => tunCheck('/dev/net/tun') }];

export function tunCheck(path: string): Finding {
  const error = accessError(path);
  if (error !== undefined) {
    const hint = error === 'ENOENT' ? 'sudo modprobe tun' : `run as root, or: sudo chmod 666 ${path}`;
    return warn(`${path}: ${error}; ${NEEDED_FOR}`, hint);
  }
  if (hasCapability(CAP_NET_ADMIN)) return pass('taps can be created');
  return warn(
    `taps cannot be created by this user; ${NEEDED_FOR}`,
    'run as root, or let root create one for you: ip tuntap add dev tsvmm0 mode tap user $USER',
  );
}
