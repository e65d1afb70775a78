import { readFileSync, statSync } from 'node:fs';
import { TsvmmError } from '../../vmm/errors.ts';
import { type HostKind, hostKind, hostKindOf } from '../../vmm/kvm/host-kind.ts';
import { type Check, type Finding, fail, pass, warn } from './check.ts';

export const kvmChecks: readonly Check[] = [
  { name: 'kvm', run: () => kvmCheck('/dev/kvm') },
  { name: 'kvm kind', run: kindCheck },
  { name: 'linux guests', run: linuxCheck },
];

/** Opens it, asks for everything that is needed, and creates a virtual machine. */
export async function kvmCheck(path: string): Promise<Finding> {
  try {
    const { Kvm } = await import('../../vmm/kvm/kvm.ts');
    const kvm = Kvm.open(path);
    try {
      kvm.createVm().close();
      return pass(`${path}: all that is needed; up to ${kvm.check('MAX_VCPUS')} vCPUs`);
    } finally {
      kvm.close();
    }
  } catch (error) {
    if (!(error instanceof TsvmmError)) return fail(String(error), 'report this as a defect of tsvmm');
    if (error.code === 'TSVMM_E_KVM_PERMISSION') return permissionFinding(path, error);
    return fail(error.message, error.hint ?? 'see the messages of the kernel (dmesg)');
  }
}

function permissionFinding(path: string, { message, hint = '' }: TsvmmError): Finding {
  const { uid, gid, mode } = statSync(path);
  const detail = `${message} (owner ${uid}, group ${gid}, mode ${(mode & 0o777).toString(8)})`;
  // To join the group does not help where the device is root's alone.
  const isRoots = gid === 0 || (mode & 0o060) !== 0o060;
  return fail(detail, isRoots ? `sudo chgrp kvm ${path} && sudo chmod 660 ${path}; then ${hint}` : hint);
}

/** With neither Intel's nor AMD's virtualization visible, a KVM that is there works in software. */
function kindCheck(): Finding {
  if (statSync('/dev/kvm', { throwIfNoEntry: false }) === undefined) return warn('no KVM', 'see above');
  return describeKind(
    readFileSync('/proc/cpuinfo', 'utf8'),
    statSync('/sys/module/kvm_pvm', { throwIfNoEntry: false }) !== undefined,
  );
}

export function describeKind(cpuinfo: string, hasPvmModule: boolean): Finding {
  const kind = hostKindOf(cpuinfo);
  if (kind === 'vmx') return pass('hardware (Intel VT-x)');
  if (kind === 'svm') return pass('hardware (AMD-V)');
  const name = hasPvmModule ? 'software (PVM)' : 'software: the processor shows neither VT-x nor AMD-V';
  return warn(
    `${name}; guest kernels run slowly, guest programs at full speed`,
    'nothing is wrong; for Linux guests take "image: linux" (docs/linux-guests.md); for speed use a host with hardware virtualization, or enable it in its firmware',
  );
}

async function linuxCheck(): Promise<Finding> {
  const { Kvm } = await import('../../vmm/kvm/kvm.ts');
  try {
    const kvm = Kvm.open();
    try {
      return describeLinuxGuests(hostKind(), kvm.check('X86_MSR_FILTER') > 0);
    } finally {
      kvm.close();
    }
  } catch {
    return warn('no KVM', 'see above');
  }
}

/** Without a filter of MSRs it is not seen when a kernel says where its system calls enter (system-call-entry.ts). */
export function describeLinuxGuests(kind: HostKind, canFilterMsrs: boolean): Finding {
  if (kind !== 'software') return pass('run as they are');
  if (canFilterMsrs) return pass('instructions and system calls that this KVM cannot execute are completed');
  return warn(
    'system calls of programs cannot be led to their kernel: this KVM lacks KVM_CAP_X86_MSR_FILTER',
    'take a host with Linux 5.10 or newer; the bench guest needs none of this',
  );
}
