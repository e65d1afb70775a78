import { macToBytes } from '../../../net/mac.ts';
import type { FakeNic } from './fake-nic.ts';
import { sum16 } from './packets.ts';

/** A guest of few words: answers ARP (RFC 826), and sends UDP packets back to where they came from. */
export class AnsweringGuest {
  /** Packets that were not as they should be. */
  readonly faults: string[] = [];
  private readonly nic: FakeNic;
  private readonly address: readonly number[];
  private readonly timer: NodeJS.Timeout;

  constructor(nic: FakeNic, address: readonly number[]) {
    this.nic = nic;
    this.address = address;
    this.timer = setInterval(() => this.answer(), 2);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private answer(): void {
    for (const { frame, header } of this.nic.receiveAll()) {
      const type = ((frame[12] as number) << 8) | (frame[13] as number);
      if (type === 0x0806 && frame[21] === 1) this.answerArp(frame);
      else if (type === 0x0800 && frame[23] === 17) this.answerUdp(frame, header);
    }
  }

  private answerArp(request: Uint8Array): void {
    if (!this.address.every((byte, i) => request[38 + i] === byte)) return;
    const reply = request.slice();
    const mac = macToBytes(this.nic.mac);
    reply.set(request.subarray(6, 12), 0);
    reply.set(mac, 6);
    reply[21] = 2;
    reply.set(mac, 22);
    reply.set(this.address, 28);
    reply.set(request.subarray(22, 32), 32);
    this.nic.send(reply);
  }

  private answerUdp(frame: Uint8Array, header: Uint8Array): void {
    const view = new DataView(frame.buffer);
    const udp = 14 + ((frame[14] as number) & 15) * 4;
    const pseudo = sum16(
      [0, 17, frame[udp + 4] as number, frame[udp + 5] as number],
      sum16(frame.subarray(26, 34)),
    );
    // The host leaves the checksum to whoever needs it; this driver has taken VIRTIO_NET_F_GUEST_CSUM.
    const isOpen = (header[0] as number) & 1;
    if (isOpen && view.getUint16(udp + 6) !== pseudo) this.faults.push('the open checksum');
    if (!isOpen && sum16(frame.subarray(udp), pseudo) !== 0xffff) this.faults.push('the checksum');
    const reply = frame.slice();
    const answer = new DataView(reply.buffer);
    reply.set(frame.subarray(6, 12), 0);
    reply.set(macToBytes(this.nic.mac), 6);
    reply.set(frame.subarray(30, 34), 26);
    reply.set(frame.subarray(26, 30), 30);
    answer.setUint16(udp, view.getUint16(udp + 2));
    answer.setUint16(udp + 2, view.getUint16(udp));
    answer.setUint16(udp + 6, 0);
    answer.setUint16(udp + 6, ~sum16(reply.subarray(udp), pseudo) & 0xffff || 0xffff);
    this.nic.send(reply);
  }
}
