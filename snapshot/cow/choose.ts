import type { HostKind } from '../../vmm/kvm/host-kind.ts';
import type { CowMechanismName } from './mechanism.ts';

/**
 * The mechanism for a host and its guests. mprotect costs the running guests least, but a KVM that works in software
 * cannot have the delivery of an exception onto a protected page made again: it ends in a triple fault
 * (docs/operand-decoder.md). Guests of ours keep such pages in the eager set; a kernel's own are anywhere.
 */
export const chooseMechanism = (host: HostKind, hasForeignKernel: boolean): CowMechanismName =>
  host === 'software' && hasForeignKernel ? 'userfaultfd' : 'mprotect';
