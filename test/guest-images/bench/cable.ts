import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What becomes of one frame: the frames to deliver instead, now. */
export type FrameFilter = (frame: Buffer, from: number) => readonly Buffer[];

const LENGTH_BYTES = 4; // QEMU's stream netdev: length in network byte order, then the frame

/** A network cable between two QEMU network cards, with somebody sitting on it. */
export class Cable {
  private readonly directory = mkdtempSync(join(tmpdir(), 'tsvmm-cable-'));
  private readonly servers: Server[] = [];
  private readonly ends: (Socket | undefined)[] = [undefined, undefined];
  private readonly filter: FrameFilter;
  /** Frames that each end has sent. */
  readonly sent = [0, 0];

  private constructor(filter: FrameFilter) {
    this.filter = filter;
  }

  static async lay(filter: FrameFilter = frame => [frame]): Promise<Cable> {
    const cable = new Cable(filter);
    await Promise.all([cable.listen(0), cable.listen(1)]);
    return cable;
  }

  private path(end: number): string {
    return join(this.directory, `end${end}`);
  }

  private listen(end: number): Promise<void> {
    const server = createServer(socket => {
      this.ends[end] = socket;
      let rest: Buffer = Buffer.alloc(0);
      socket.on('error', () => {});
      socket.on('data', chunk => {
        rest = this.forward(Buffer.concat([rest, chunk]), end);
      });
    });
    this.servers.push(server);
    return new Promise(resolve => server.listen(this.path(end), resolve));
  }

  /** Forwards the whole frames in `data`, answers what is left of it. */
  private forward(data: Buffer, from: number): Buffer {
    let offset = 0;
    while (offset + LENGTH_BYTES <= data.length) {
      const end = offset + LENGTH_BYTES + data.readUInt32BE(offset);
      if (end > data.length) break;
      this.sent[from] = (this.sent[from] ?? 0) + 1;
      for (const frame of this.filter(data.subarray(offset + LENGTH_BYTES, end), from))
        this.deliver(frame, 1 - from);
      offset = end;
    }
    return data.subarray(offset);
  }

  private deliver(frame: Buffer, to: number): void {
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(frame.length);
    this.ends[to]?.write(Buffer.concat([length, frame]));
  }

  /** QEMU's words for a network card at this end. */
  card(end: number): string[] {
    return [
      ...['-netdev', `stream,id=net,server=off,addr.type=unix,addr.path=${this.path(end)}`],
      ...['-device', `virtio-net-device,netdev=net,mac=52:54:00:00:00:0${end + 1}`],
    ];
  }

  remove(): void {
    for (const server of this.servers) server.close();
    for (const socket of this.ends) socket?.destroy();
    rmSync(this.directory, { recursive: true });
  }
}

const ETHERNET_BYTES = 14;

/** Where the TCP payload of a frame begins and how long it is; undefined if it is no TCP segment with data. */
export function tcpPayload(frame: Buffer): { offset: number; length: number } | undefined {
  if (frame.readUInt16BE(12) !== 0x0800 || frame[ETHERNET_BYTES + 9] !== 6) return undefined;
  const ipEnd = ETHERNET_BYTES + frame.readUInt16BE(ETHERNET_BYTES + 2);
  const tcp = ETHERNET_BYTES + ((frame[ETHERNET_BYTES] ?? 0) & 15) * 4;
  const offset = tcp + ((frame[tcp + 12] ?? 0) >> 4) * 4;
  return ipEnd > offset ? { offset, length: ipEnd - offset } : undefined;
}
