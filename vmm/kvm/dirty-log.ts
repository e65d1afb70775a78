import { checked } from '../ffi/errno.ts';
import { ioctlBuffer } from '../ffi/libc.ts';
import { type Hva, hvaOffset, PAGE_SIZE } from '../memory/address.ts';
import { type RamRegion, ramRegions } from '../memory/layout.ts';
import { allocateNative, bytesAt } from '../memory/native.ts';
import { kvmDirtyLog } from './layouts.ts';
import { iow } from './request.ts';
import { Vm } from './vm.ts';

export const KVM_GET_DIRTY_LOG = iow(0x42, kvmDirtyLog);
/** A flag of struct kvm_userspace_memory_region. */
const KVM_MEM_LOG_DIRTY_PAGES = 1;

interface SlotLog {
  readonly slot: number;
  readonly region: RamRegion;
  /** One bit for each page of the slot. */
  readonly bitmap: Hva;
  readonly words: BigUint64Array;
}

/**
 * Which pages a guest has written, as KVM logs it (KVM API document, KVM_GET_DIRTY_LOG): writes by vCPUs and by KVM for
 * them. What the VMM writes goes past KVM, and is not in it.
 */
export class DirtyLog {
  private readonly vm: Vm;
  private readonly address: Hva;
  private readonly slots: readonly SlotLog[];
  private readonly free: () => void;

  /** `vmFd` is of the VM whose RAM lies at `address`, mapped as ramRegions() says. free() gives its bitmaps back. */
  constructor(vmFd: number, address: Hva, length: number) {
    this.vm = new Vm(vmFd, 0);
    this.address = address;
    const buffers: { free(): void }[] = [];
    this.slots = ramRegions(length).map((region, slot) => {
      const size = Math.ceil(region.length / PAGE_SIZE / 64) * 8;
      const memory = allocateNative(size);
      buffers.push(memory);
      const bytes = bytesAt(memory.address, size);
      const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, size / 8);
      return { slot, region, bitmap: memory.address, words };
    });
    this.free = () => {
      for (const buffer of buffers) buffer.free();
    };
  }

  /** From here on writes are logged. The guest may be running. */
  start(): void {
    this.setFlags(KVM_MEM_LOG_DIRTY_PAGES);
  }

  /** Ends the logging, and the use of this object. */
  stop(): void {
    this.setFlags(0);
    this.free();
  }

  /** Calls `visit` with the offset in RAM of each page that was written since the last call, and forgets them. */
  collect(visit: (ramOffset: number) => void): void {
    for (const { slot, region, bitmap, words } of this.slots) {
      const request = kvmDirtyLog.allocate();
      request.slot = slot;
      request.dirty_bitmap = bitmap;
      checked(ioctlBuffer(this.vm.fd, KVM_GET_DIRTY_LOG, request.bytes), 'KVM_GET_DIRTY_LOG');
      for (const [index, word] of words.entries()) {
        if (word === 0n) continue;
        for (let bit = 0; bit < 64; bit++) {
          if (((word >> BigInt(bit)) & 1n) === 0n) continue;
          visit(region.ramOffset + (index * 64 + bit) * PAGE_SIZE);
        }
      }
    }
  }

  private setFlags(flags: number): void {
    for (const { slot, region } of this.slots) {
      const { start, length, ramOffset } = region;
      this.vm.setMemoryRegion(slot, start, length, hvaOffset(this.address, ramOffset), flags);
    }
  }
}
