import { TsvmmError } from '../errors.ts';
import { checked, errno, SyscallError } from '../ffi/errno.ts';
import { close, ioctl, ioctlBuffer, O, open } from '../ffi/libc.ts';
import type { ViewOf } from '../ffi/struct.ts';
import { Capability, KVM_API_VERSION } from './constants.ts';
import { kvmCpuid2, kvmCpuidEntry2, kvmMsrList } from './layouts.ts';
import { io, iowr } from './request.ts';
import { Vm } from './vm.ts';

export const KVM_GET_API_VERSION = io(0x00);
export const KVM_CREATE_VM = io(0x01);
export const KVM_GET_MSR_INDEX_LIST = iowr(0x02, kvmMsrList);
export const KVM_CHECK_EXTENSION = io(0x03);
export const KVM_GET_VCPU_MMAP_SIZE = io(0x04);
export const KVM_GET_SUPPORTED_CPUID = iowr(0x05, kvmCpuid2);

const MAXIMUM_CPUID_ENTRIES = 256;
const MAXIMUM_MSRS = 1024;

export type CpuidEntry = ViewOf<typeof kvmCpuidEntry2>;

/** What tsvmm cannot do without, by name for the error message. */
const required = [
  'USER_MEMORY',
  'IRQCHIP',
  'PIT2',
  'IRQFD',
  'IOEVENTFD',
  'IMMEDIATE_EXIT',
  'SYNC_REGS',
  'XSAVE',
  'VCPU_EVENTS',
  'MP_STATE',
] as const satisfies (keyof typeof Capability)[];

/** /dev/kvm: the system file descriptor (KVM API document, section 4, "system ioctls"). */
export class Kvm {
  readonly fd: number;
  /** Length of the pages that the kernel shares for each vCPU, in bytes. */
  readonly vcpuMmapSize: number;

  /** Throws TSVMM_E_KVM_MISSING, TSVMM_E_KVM_PERMISSION, TSVMM_E_KVM_UNFIT. */
  static open(path = '/dev/kvm'): Kvm {
    const fd = open(path, O.RDWR | O.CLOEXEC);
    if (fd < 0) throw openError(path, -fd);
    try {
      return new Kvm(fd);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  private constructor(fd: number) {
    this.fd = fd;
    const version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version === -errno.ENOTTY) throw unfit('the device file is not KVM');
    if (version !== KVM_API_VERSION) throw unfit(`it speaks API version ${version}, not ${KVM_API_VERSION}`);
    const missing = required.filter(name => this.check(name) <= 0);
    if (missing.length > 0) throw unfit(`it lacks ${missing.map(name => `KVM_CAP_${name}`).join(', ')}`);
    this.vcpuMmapSize = checked(ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0), 'KVM_GET_VCPU_MMAP_SIZE');
  }

  /** 0 when the capability is absent, else its value (often a limit). */
  check(capability: keyof typeof Capability): number {
    return checked(ioctl(this.fd, KVM_CHECK_EXTENSION, Capability[capability]), 'KVM_CHECK_EXTENSION');
  }

  createVm(): Vm {
    return new Vm(checked(ioctl(this.fd, KVM_CREATE_VM, 0), 'KVM_CREATE_VM'), this.vcpuMmapSize);
  }

  /** The CPUID leaves that this host can give a guest. */
  supportedCpuid(): CpuidEntry[] {
    const header = kvmCpuid2.allocate(MAXIMUM_CPUID_ENTRIES * kvmCpuidEntry2.size);
    header.nent = MAXIMUM_CPUID_ENTRIES;
    checked(ioctlBuffer(this.fd, KVM_GET_SUPPORTED_CPUID, header.bytes), 'KVM_GET_SUPPORTED_CPUID');
    return Array.from({ length: header.nent }, (_, i) =>
      kvmCpuidEntry2.at(header.bytes.buffer, kvmCpuid2.size + i * kvmCpuidEntry2.size),
    );
  }

  /** The MSRs that make up a guest's state on this host. */
  msrIndexList(): number[] {
    const list = kvmMsrList.allocate(MAXIMUM_MSRS * 4);
    list.nmsrs = MAXIMUM_MSRS;
    checked(ioctlBuffer(this.fd, KVM_GET_MSR_INDEX_LIST, list.bytes), 'KVM_GET_MSR_INDEX_LIST');
    return [...new Uint32Array(list.bytes.buffer, kvmMsrList.size, list.nmsrs)];
  }

  close(): void {
    close(this.fd);
  }
}

function openError(path: string, errorNumber: number): TsvmmError {
  const cause = new SyscallError(`open ${path}`, errorNumber);
  switch (errorNumber) {
    case errno.EACCES:
    case errno.EPERM:
      return new TsvmmError('TSVMM_E_KVM_PERMISSION', `no permission to open ${path}`, {
        hint: 'add your user to the group kvm (sudo usermod -aG kvm $USER, then log in again), or run as root',
        cause,
      });
    case errno.ENOENT:
    case errno.ENODEV:
    case errno.ENXIO:
      return new TsvmmError('TSVMM_E_KVM_MISSING', `${path} is not there: this host offers no KVM`, {
        hint: 'load the module (modprobe kvm_intel or kvm_amd), enable virtualization in the firmware, or pass /dev/kvm into the container',
        cause,
      });
    default:
      return new TsvmmError('TSVMM_E_KVM_UNFIT', `cannot open ${path}`, { hint: 'run tsvmm doctor', cause });
  }
}

const unfit = (why: string) =>
  new TsvmmError('TSVMM_E_KVM_UNFIT', `this host's KVM cannot run tsvmm: ${why}`, {
    hint: 'use a Linux kernel of 5.4 or newer; tsvmm doctor shows the details',
  });
