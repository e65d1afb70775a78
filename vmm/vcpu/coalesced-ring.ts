import type { Uart } from '../devices/serial/uart.ts';
import { COALESCED_RING_PAGE } from '../kvm/constants.ts';
import { kvmCoalescedMmio, kvmCoalescedMmioRing } from '../kvm/layouts.ts';
import { PAGE_SIZE } from '../memory/address.ts';

const RING = COALESCED_RING_PAGE * PAGE_SIZE;
const FIRST = RING + kvmCoalescedMmioRing.offsets.first;
const LAST = RING + kvmCoalescedMmioRing.offsets.last;
const ENTRIES = RING + kvmCoalescedMmioRing.size;
const CAPACITY = Math.floor((PAGE_SIZE - kvmCoalescedMmioRing.size) / kvmCoalescedMmio.size);

/**
 * Console writes that the kernel queued instead of exiting (KVM API document, KVM_REGISTER_COALESCED_MMIO). They
 * happened before the exit that is handled next. The ring belongs to the VM and is seen through any vCPU's pages; the
 * console port's lock makes its readers take turns.
 */
export class CoalescedRing {
  private readonly shared: DataView;
  private readonly uart: Uart;

  constructor(shared: DataView, uart: Uart) {
    this.shared = shared;
    this.uart = uart;
  }

  get isEmpty(): boolean {
    return this.shared.getUint32(FIRST, true) === this.shared.getUint32(LAST, true);
  }

  /** Passes all queued writes on, and answers how many. The caller holds the console port's lock. */
  drain(): number {
    const { shared, uart } = this;
    let count = 0;
    let first = shared.getUint32(FIRST, true);
    while (first !== shared.getUint32(LAST, true)) {
      uart.transmitQueued(
        shared.getUint8(ENTRIES + first * kvmCoalescedMmio.size + kvmCoalescedMmio.offsets.data),
      );
      first = (first + 1) % CAPACITY;
      shared.setUint32(FIRST, first, true);
      count++;
    }
    if (count > 0) uart.announceOutput();
    return count;
  }
}
