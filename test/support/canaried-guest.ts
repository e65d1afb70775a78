import { checked } from '../../vmm/ffi/errno.ts';
import { backend } from '../../vmm/ffi/index.ts';
import { MAP, mmap, munmap, PROT } from '../../vmm/ffi/libc.ts';
import { alignUp, HUGE_PAGE_SIZE, hva, hvaOffset } from '../../vmm/memory/address.ts';
import { CowState } from '../../vmm/memory/cow-state.ts';
import type { Ram } from '../../vmm/memory/ram.ts';
import { FakeGuest } from './virtio-driver.ts';

const CANARY_BYTES = HUGE_PAGE_SIZE;
const CANARY = 0xc5;

/** A guest whose RAM lies between two areas that nobody may touch. */
export class CanariedGuest extends FakeGuest {
  private readonly canaries: readonly Buffer[];

  constructor(length: number) {
    const mapped = alignUp(length, HUGE_PAGE_SIZE) + 2 * CANARY_BYTES;
    const start = hva(
      checked(mmap(0, mapped, PROT.READ | PROT.WRITE, MAP.PRIVATE | MAP.ANONYMOUS, -1, 0), 'mmap'),
    );
    const ram: Ram = {
      address: hvaOffset(start, CANARY_BYTES),
      length,
      cow: CowState.allocate(length),
      free: () => void munmap(start, mapped),
    };
    super(length, ram);
    this.canaries = [start, hvaOffset(ram.address, length)].map(address =>
      Buffer.from(backend.view(address, CANARY_BYTES)).fill(CANARY),
    );
  }

  /** Whether nothing was written before or behind RAM. */
  get isIntact(): boolean {
    return this.canaries.every(canary => canary.equals(untouched));
  }
}

const untouched = Buffer.alloc(CANARY_BYTES, CANARY);
