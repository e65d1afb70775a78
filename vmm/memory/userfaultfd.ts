import { checked, errno } from '../ffi/errno.ts';
import { backend } from '../ffi/index.ts';
import { close, ioctl, ioctlBuffer, O, open, read } from '../ffi/libc.ts';
import { struct, u8, u64, usize } from '../ffi/struct.ts';
import { type Hva, hva } from './address.ts';

/** Structs of linux/userfaultfd.h. */
export const uffdioApi = struct('uffdio_api', { api: u64, features: u64, ioctls: u64 });
export const uffdioRange = struct('uffdio_range', { start: usize, len: usize });
export const uffdioRegister = struct('uffdio_register', {
  'range.start': usize,
  'range.len': usize,
  mode: usize,
  ioctls: u64,
});
export const uffdioCopy = struct('uffdio_copy', {
  dst: usize,
  src: usize,
  len: usize,
  mode: usize,
  copy: u64,
});
export const uffdioMove = struct('uffdio_move', {
  dst: usize,
  src: usize,
  len: usize,
  mode: usize,
  move: u64,
});
export const uffdioWriteprotect = struct('uffdio_writeprotect', {
  'range.start': usize,
  'range.len': usize,
  mode: usize,
});
export const uffdMsg = struct(
  'uffd_msg',
  { event: u8, 'arg.pagefault.flags': usize, 'arg.pagefault.address': usize },
  { 'arg.pagefault.flags': 8, 'arg.pagefault.address': 16, size: 32 },
);

const UFFDIO = 0xaa;
const request = (direction: 2 | 3, number: number, { size }: { size: number }): number =>
  direction * 2 ** 30 + size * 2 ** 16 + UFFDIO * 2 ** 8 + number;
export const UFFDIO_API = request(3, 0x3f, uffdioApi);
export const UFFDIO_REGISTER = request(3, 0x00, uffdioRegister);
export const UFFDIO_UNREGISTER = request(2, 0x01, uffdioRange);
export const UFFDIO_WAKE = request(2, 0x02, uffdioRange);
export const UFFDIO_COPY = request(3, 0x03, uffdioCopy);
export const UFFDIO_MOVE = request(3, 0x05, uffdioMove);
export const UFFDIO_WRITEPROTECT = request(3, 0x06, uffdioWriteprotect);

const API_VERSION = 0xaan;
export const UserfaultFeature = {
  PAGEFAULT_FLAG_WP: 1n,
  WP_UNPOPULATED: 1n << 13n,
  MOVE: 1n << 16n,
} as const;
export const RegisterMode = { MISSING: 1, WP: 2 } as const;
const WP_MODE_WP = 1;
const EVENT_PAGEFAULT = 0x12;

/** No libc wrapper exists for userfaultfd(2). */
const syscall = backend.bind('syscall', 'i64', ['i64', 'i64']);
export const SYS_USERFAULTFD = 323;
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
/** Since Linux 6.1; admin-guide/mm/userfaultfd.rst. */
const DEVICE = '/dev/userfaultfd';
export const USERFAULTFD_IOC_NEW = 0xaa00;

/** A new descriptor, or -errno. What userfaultfd(2) refuses, the device of newer kernels may allow. */
function create(): number {
  const fd = syscall(SYS_USERFAULTFD, O_CLOEXEC + O_NONBLOCK);
  if (fd !== -errno.EPERM) return fd;
  const device = open(DEVICE, O.RDWR | O.CLOEXEC);
  if (device < 0) return fd;
  const made = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC + O_NONBLOCK);
  close(device);
  return made;
}

/** The features (UserfaultFeature) that the kernel has; none where it lets us have no userfaultfd. */
export function userfaultfdFeatures(): bigint {
  const fd = create();
  if (fd < 0) return 0n;
  const api = uffdioApi.allocate();
  api.api = API_VERSION;
  const supported = ioctlBuffer(fd, UFFDIO_API, api.bytes) < 0 ? 0n : api.features;
  close(fd);
  return supported;
}

/**
 * A userfaultfd(2): faults on registered memory are told here instead of being served by the kernel, with their exact
 * address, whoever caused them (KVM included). Throws SyscallError; EPERM where the kernel lets only privileged
 * processes see its own faults (vm.unprivileged_userfaultfd).
 */
export class UserFaultFd {
  readonly fd: number;
  private readonly message = uffdMsg.allocate();
  private readonly range = uffdioRange.allocate();
  private readonly protection = uffdioWriteprotect.allocate();

  /** For another thread, over a descriptor that open() made. */
  constructor(fd: number) {
    this.fd = fd;
  }

  static open(features: bigint): UserFaultFd {
    const fd = checked(create(), 'userfaultfd');
    const api = uffdioApi.allocate();
    api.api = API_VERSION;
    api.features = features;
    const result = ioctlBuffer(fd, UFFDIO_API, api.bytes);
    if (result < 0) close(fd);
    checked(result, 'UFFDIO_API');
    return new UserFaultFd(fd);
  }

  register(address: Hva, length: number, mode: number): void {
    const registration = uffdioRegister.allocate();
    registration['range.start'] = address;
    registration['range.len'] = length;
    registration.mode = mode;
    checked(ioctlBuffer(this.fd, UFFDIO_REGISTER, registration.bytes), 'UFFDIO_REGISTER');
  }

  unregister(address: Hva, length: number): void {
    checked(this.onRange(UFFDIO_UNREGISTER, address, length), 'UFFDIO_UNREGISTER');
  }

  /** Address of the next fault that waits, or -1. Never sleeps. */
  nextFault(): Hva {
    const { message } = this;
    for (;;) {
      const count = read(this.fd, message.bytes, uffdMsg.size);
      if (count === -errno.EAGAIN) return hva(-1);
      checked(count, 'read of userfaultfd');
      if (message.event === EVENT_PAGEFAULT) return hva(message['arg.pagefault.address']);
    }
  }

  /** Fills missing memory with a copy, and lets those go on who wait for it. False if it was filled already. */
  copy(to: Hva, from: Hva, length: number): boolean {
    const copy = uffdioCopy.allocate();
    copy.dst = to;
    copy.src = from;
    copy.len = length;
    const result = ioctlBuffer(this.fd, UFFDIO_COPY, copy.bytes);
    if (result === -errno.EEXIST) return false;
    checked(result, 'UFFDIO_COPY');
    return true;
  }

  /** As copy(), but the pages themselves go over, huge pages as such; `from` is missing afterwards. */
  move(to: Hva, from: Hva, length: number): boolean {
    const move = uffdioMove.allocate();
    move.dst = to;
    move.src = from;
    move.len = length;
    const result = ioctlBuffer(this.fd, UFFDIO_MOVE, move.bytes);
    if (result === -errno.EEXIST) return false;
    checked(result, 'UFFDIO_MOVE');
    return true;
  }

  wake(address: Hva, length: number): void {
    checked(this.onRange(UFFDIO_WAKE, address, length), 'UFFDIO_WAKE');
  }

  /** Protects memory against writing, or lifts that and lets those go on who wait for it. */
  writeProtect(address: Hva, length: number, protect: boolean): void {
    const { protection } = this;
    protection['range.start'] = address;
    protection['range.len'] = length;
    protection.mode = protect ? WP_MODE_WP : 0;
    checked(ioctlBuffer(this.fd, UFFDIO_WRITEPROTECT, protection.bytes), 'UFFDIO_WRITEPROTECT');
  }

  close(): void {
    close(this.fd);
  }

  private onRange(operation: number, address: Hva, length: number): number {
    this.range.start = address;
    this.range.len = length;
    return ioctlBuffer(this.fd, operation, this.range.bytes);
  }
}
