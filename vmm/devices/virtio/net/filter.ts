import type { View } from '../../../ffi/struct.ts';
import {
  FILTER_CAPACITY,
  RECEIVE_FILTER_OFFSET,
  ReceiveMode,
  receiveFilter,
  virtioNetConfig,
} from './config.ts';
import type { Frame } from './frame.ts';

/** Which frames the driver wants (virtio 1.2 sections 5.1.6.5.1 and .2), kept in the configuration space. */
export class ReceiveFilter {
  /** The device's current address. */
  readonly mac: Uint8Array;
  private readonly state: View<typeof receiveFilter.fields>;

  /** `config` is the device's configuration space. */
  constructor(config: Uint8Array) {
    this.state = receiveFilter.at(config.buffer, config.byteOffset + RECEIVE_FILTER_OFFSET);
    this.mac = config.subarray(virtioNetConfig.offsets.mac, virtioNetConfig.offsets.mac + 6);
  }

  setMode(mode: number, on: boolean): void {
    if (on) this.state.modes |= mode;
    else this.state.modes &= ~mode;
  }

  /**
   * Replaces the address table: `unicast` and `multicast` are addresses one after the other. Too many of a kind
   * pass all of it.
   */
  setTable(unicast: Uint8Array, multicast: Uint8Array): void {
    const { state } = this;
    const unicastCount = unicast.length / 6;
    const multicastCount = multicast.length / 6;
    const fits = unicastCount + multicastCount <= FILTER_CAPACITY;
    state.unicast_count = fits ? unicastCount : PASS_ALL;
    state.multicast_count = fits ? multicastCount : PASS_ALL;
    if (!fits) return;
    state.addresses.set(unicast);
    state.addresses.set(multicast, unicast.length);
  }

  admits(frame: Frame): boolean {
    const { modes } = this.state;
    if ((modes & ReceiveMode.PROMISC) !== 0) return true;
    const high = frame.u16(0);
    const low = frame.u32(2);
    if (high === 0xffff && low === 0xffffffff) return (modes & ReceiveMode.NOBCAST) === 0;
    return (high & 0x0100) === 0 ? this.admitsUnicast(high, low) : this.admitsMulticast(high, low);
  }

  private admitsUnicast(high: number, low: number): boolean {
    const { modes, unicast_count } = this.state;
    if ((modes & ReceiveMode.NOUNI) !== 0) return false;
    if ((modes & ReceiveMode.ALLUNI) !== 0 || unicast_count === PASS_ALL) return true;
    return isAddress(this.mac, 0, high, low) || this.inTable(0, unicast_count, high, low);
  }

  private admitsMulticast(high: number, low: number): boolean {
    const { modes, unicast_count, multicast_count } = this.state;
    if ((modes & ReceiveMode.NOMULTI) !== 0) return false;
    if ((modes & ReceiveMode.ALLMULTI) !== 0 || multicast_count === PASS_ALL) return true;
    return this.inTable(unicast_count, multicast_count, high, low);
  }

  private inTable(first: number, count: number, high: number, low: number): boolean {
    const { addresses } = this.state;
    for (let i = first; i < first + count && i < FILTER_CAPACITY; i++) {
      if (isAddress(addresses, i * 6, high, low)) return true;
    }
    return false;
  }
}

/** A count that says: no table, everything of the kind passes. */
export const PASS_ALL = 255;

/** Whether the address at `at` is the one whose first two and last four bytes are `high` and `low`. */
const isAddress = (bytes: Uint8Array, at: number, high: number, low: number): boolean =>
  (((bytes[at] as number) << 8) | (bytes[at + 1] as number)) === high &&
  (((bytes[at + 2] as number) << 24) |
    ((bytes[at + 3] as number) << 16) |
    ((bytes[at + 4] as number) << 8) |
    (bytes[at + 5] as number)) >>>
    0 ===
    low;
