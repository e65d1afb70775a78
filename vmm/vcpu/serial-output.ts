import type { SerialState } from '../devices/serial/state.ts';
import type { CoalescedRing } from './coalesced-ring.ts';

/**
 * What a guest has written to its serial port, for the control thread: the port's own output, and behind it what KVM has
 * queued and no exit has brought yet.
 */
export class SerialOutput {
  private readonly serial: SerialState;
  private readonly ring: CoalescedRing;
  private readonly taken: Uint8Array[] = [];

  constructor(serial: SerialState, ring: CoalescedRing) {
    this.serial = serial;
    this.ring = ring;
  }

  /** Everything there is, in order; of KVM's queue only if `withQueued`, and while no vCPU's thread is in the port. */
  fetch({ withQueued }: { withQueued: boolean }): Uint8Array[] {
    const { serial, ring, taken } = this;
    serial.output.clearSignal();
    this.makeRoom();
    if (withQueued && !ring.isEmpty && serial.lock.tryAcquire()) {
      // Nobody else can fill the output from here on, so that all that is queued has room: this thread cannot wait for any.
      this.makeRoom();
      ring.drain();
      serial.lock.release();
      this.makeRoom();
    }
    return taken.splice(0);
  }

  /** Empties the port's output, for the next fetch(): before this thread blocks, as the guest must not wait for it then. */
  makeRoom(): void {
    const { output } = this.serial;
    if (output.length > 0) this.taken.push(output.drain());
  }
}
