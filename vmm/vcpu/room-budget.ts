import type { ByteRing } from '../shared/byte-ring.ts';
import { type VcpuControlBlock, VcpuRequest } from './control-block.ts';

const WAIT_MS = 5;
const WAITS = 40;

/**
 * How long a vCPU waits for the host to read what the guest prints: 200 ms after each exit, however many bytes that
 * brought; the bytes that find no room then are dropped, and counted. Not at all while a snapshot is asked for: the thread
 * that reads waits for this one. It made room before it asked, for more than one exit of some vCPUs can bring.
 */
export class RoomBudget {
  private readonly control: VcpuControlBlock;
  private readonly output: Pick<ByteRing, 'free'>;
  private waits = WAITS;

  constructor(control: VcpuControlBlock, output: Pick<ByteRing, 'free'>) {
    this.control = control;
    this.output = output;
  }

  /** After an exit. */
  renew(): void {
    this.waits = WAITS;
  }

  /** Returns when there is room, or when it has waited long enough. */
  spend(): void {
    const { control, output } = this;
    for (; this.waits > 0 && output.free === 0; this.waits--) {
      const { request } = control;
      if (request === VcpuRequest.SNAPSHOT) return;
      control.sleepWhileRequestIs(request, WAIT_MS);
    }
  }
}
