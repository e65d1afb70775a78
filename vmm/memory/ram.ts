import { readFileSync } from 'node:fs';
import { TsvmmError } from '../errors.ts';
import { errno, SyscallError } from '../ffi/errno.ts';
import { MADV, MAP, madvise, mmap, munmap, PROT } from '../ffi/libc.ts';
import { alignUp, HUGE_PAGE_SIZE, type Hva, hva, hvaOffset, MIB } from './address.ts';
import { CowState } from './cow-state.ts';

/** What another thread needs to look at the same guest RAM. */
export interface RamDescriptor {
  readonly address: Hva;
  readonly length: number;
  /** Shared words of copy-on-write (see cow-state.ts). */
  readonly cow: SharedArrayBuffer;
}

/** The host mapping that is a guest's RAM: anonymous, private, aligned to huge pages. */
export interface Ram extends RamDescriptor {
  free(): void;
}

/**
 * Maps `length` bytes (a multiple of 2 MiB) of guest RAM. With `hugePages` (the default) the kernel backs it with
 * transparent huge pages, which keeps write-protecting all of it under a millisecond per GiB.
 *
 * Throws TSVMM_E_MEMORY when the host has less memory available: better now than by the OOM killer later.
 */
export function allocateRam(length: number, { hugePages = true } = {}): Ram {
  const available = availableMemory();
  if (length > available) throw tooLittleMemory(length, available);

  // mmap aligns to 4 KiB only: map up to 2 MiB more and give back what lies outside of the aligned part.
  const mappedLength = length + HUGE_PAGE_SIZE;
  const mapped = mmap(
    0,
    mappedLength,
    PROT.READ | PROT.WRITE,
    MAP.PRIVATE | MAP.ANONYMOUS | MAP.NORESERVE,
    -1,
    0,
  );
  if (mapped === -errno.ENOMEM) throw tooLittleMemory(length, available);
  if (mapped < 0) throw new SyscallError('mmap', -mapped);
  const address = hva(alignUp(mapped, HUGE_PAGE_SIZE));
  const head = address - mapped;
  if (head > 0) munmap(hva(mapped), head);
  munmap(hvaOffset(address, length), mappedLength - length - head);

  // A kernel without transparent huge pages says EINVAL: slower snapshots, nothing wrong.
  madvise(address, length, hugePages ? MADV.HUGEPAGE : MADV.NOHUGEPAGE);
  return { address, length, cow: CowState.allocate(length), free: () => void munmap(address, length) };
}

const tooLittleMemory = (length: number, available: number) =>
  new TsvmmError(
    'TSVMM_E_MEMORY',
    `the guest wants ${Math.ceil(length / MIB)} MiB of memory, this host has ${Math.floor(available / MIB)} MiB available`,
    { hint: 'lower "memory" in the cluster file, or stop other virtual machines' },
  );

/** Bytes that can be used without swapping, by the kernel's own estimate (proc(5), MemAvailable). */
export function availableMemory(): number {
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  return match?.[1] === undefined ? Number.MAX_SAFE_INTEGER : Number(match[1]) * 1024;
}
