import { randomBytes } from 'node:crypto';
import type { Random } from '../../../net/random.ts';
import { ethernetFrame, type FakeNic } from './fake-nic.ts';

const TAG_BYTES = 8;
/** Sent and not seen yet; far fewer than a port may queue. */
const WINDOW = 32;

/**
 * One direction of traffic between two honest drivers: numbered frames that nobody else could have made. What comes is
 * checked against what was sent, so a lost, damaged, repeated or reordered frame is found.
 */
export class HonestFlow {
  sent = 0;
  received = 0;
  private readonly from: FakeNic;
  private readonly to: FakeNic;
  private readonly random: Random;
  private readonly tag = randomBytes(TAG_BYTES);
  private readonly lengths = new Map<number, number>();

  constructor(from: FakeNic, to: FakeNic, random: Random) {
    this.from = from;
    this.to = to;
    this.random = random;
  }

  send(): void {
    while (this.sent - this.received < WINDOW && this.random.below(4) !== 0) {
      const number = this.sent++;
      const length = 60 + this.random.below(1400);
      this.lengths.set(number, length);
      this.from.send(this.frame(number, length), {
        indirect: number % 2 === 0,
        split: number % 3 === 0 ? [12] : [],
      });
    }
  }

  /** `frames` are all that the receiver got; says what is wrong, or nothing. */
  check(frames: readonly Uint8Array[]): string | undefined {
    for (const frame of frames) {
      if (frame.length < 60 || !this.tag.equals(frame.subarray(14, 14 + TAG_BYTES))) continue;
      const number = this.received++;
      const expected = this.frame(number, this.lengths.get(number) ?? 60);
      this.lengths.delete(number);
      if (!expected.every((byte, i) => byte === frame[i]) || frame.length !== expected.length) {
        return `frame ${number} is not what was sent`;
      }
    }
    return undefined;
  }

  private frame(number: number, length: number): Uint8Array {
    const frame = ethernetFrame(this.to.mac, this.from.mac, length, number);
    frame.set(this.tag, 14);
    new DataView(frame.buffer).setUint32(14 + TAG_BYTES, number);
    return frame;
  }
}
