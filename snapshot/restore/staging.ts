import { memset } from '../../vmm/ffi/libc.ts';
import { HUGE_PAGE_SIZE, type Hva, hvaOffset } from '../../vmm/memory/address.ts';
import { allocateNative, type NativeMemory } from '../../vmm/memory/native.ts';
import { look } from '../../vmm/memory/window.ts';

const SLOTS = 16;

/**
 * Where chunks are put together before they are moved to the guest, each on memory of its own that goes along. To get that
 * memory from the kernel takes longer than to fill it, several milliseconds where the host is a virtual machine itself, so
 * some of it is got while there is nothing else to do.
 */
export class Staging {
  /** Bytes that a chunk may have. */
  readonly slotSize: number;
  private readonly memory: NativeMemory;
  /** Slots from here to the last have their memory. */
  private firstReady = SLOTS;
  private isFree = false;

  constructor(slotSize: number = HUGE_PAGE_SIZE) {
    this.slotSize = slotSize;
    this.memory = allocateNative(SLOTS * slotSize, { huge: true });
    // V8 takes a large view for heap memory and collects garbage at once, some 10 ms long: now, while nobody waits.
    look(this.memory.address, 1);
    look(hvaOffset(this.memory.address, SLOTS * slotSize - 1), 1);
  }

  /** Gets the memory of one more slot; false when all have theirs. */
  prepare(): boolean {
    if (this.isFree || this.firstReady === 0) return false;
    this.firstReady--;
    memset(this.slot(this.firstReady), 0, 1);
    return true;
  }

  /** The place for one chunk, until the next call; with memory if there is some left. */
  take(): Hva {
    if (this.firstReady === SLOTS) return this.slot(0);
    return this.slot(this.firstReady++);
  }

  /** Idempotent. */
  free(): void {
    if (!this.isFree) this.memory.free();
    this.isFree = true;
  }

  private slot(index: number): Hva {
    return hvaOffset(this.memory.address, index * this.slotSize);
  }
}
