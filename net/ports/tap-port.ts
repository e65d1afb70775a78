import { type Frame, MAXIMUM_FRAME_BYTES, MINIMUM_FRAME_BYTES } from '../../vmm/devices/virtio/net/frame.ts';
import type { Received } from '../../vmm/devices/virtio/net/handler.ts';
import { HEADER_BYTES, Offload } from '../../vmm/devices/virtio/net/header.ts';
import { validateOffloads } from '../../vmm/devices/virtio/net/validate.ts';
import type { Entry } from '../../vmm/devices/virtio/served-device.ts';
import { errno } from '../../vmm/ffi/errno.ts';
import { iovec } from '../../vmm/ffi/iovec.ts';
import { read, write, writev } from '../../vmm/ffi/libc.ts';
import { Counter, type PortTable } from '../counters.ts';
import type { Exchange } from '../exchange.ts';
import type { Network } from '../network.ts';
import type { FramePool } from '../queues/frame-pool.ts';
import { Port, type PortSetup } from './port.ts';

/** Header and private part, and the pieces of a frame. */
const MAXIMUM_PIECES = 1 + 512;

export interface TapPortSetup extends PortSetup {
  /** A tap with IFF_VNET_HDR and a header of 12 bytes, non-blocking. */
  readonly fd: number;
  /** Whether the host's stack may be given frames with open checksums and large segments. */
  readonly offloads: boolean;
}

/** The port of a tap device: behind it is the host's network stack. */
export class TapPort extends Port {
  readonly fd: number;
  private readonly vectors = new Uint8Array(MAXIMUM_PIECES * iovec.size);
  private readonly vectorView = new DataView(this.vectors.buffer);

  constructor(setup: TapPortSetup, network: Network, table: PortTable, pool: FramePool) {
    super(setup, network, table, pool);
    this.fd = setup.fd;
    this.accepts = setup.offloads ? Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.ECN : 0;
  }

  override enter(): Entry {
    return 'entered';
  }

  override leave(): void {}

  /** The kernel copies straight from the sender's memory. What it does not take is lost, as on a wire. */
  override accept(frame: Frame): Received {
    frame.bufferCount = 0;
    const { rest } = frame;
    const head = HEADER_BYTES + frame.privateLength;
    if (rest.count === 0) return write(this.fd, frame.bytes, head) > 0 ? 'delivered' : 'refused';
    this.setVector(0, frame.address, head);
    for (let i = 0; i < rest.count; i++) this.setVector(i + 1, rest.address(i), rest.length(i));
    return writev(this.fd, this.vectors, rest.count + 1) > 0 ? 'delivered' : 'refused';
  }

  override transmit(exchange: Exchange): boolean {
    const frame = exchange.incoming;
    const { epoch } = this;
    while (exchange.hasBudget) {
      const length = read(this.fd, frame.bytes, HEADER_BYTES + MAXIMUM_FRAME_BYTES);
      // No more frames, or a link that is down: the next event of the descriptor tells.
      if (length === -errno.EAGAIN || length < 0) return false;
      frame.reset(length - HEADER_BYTES);
      frame.privateLength = frame.length;
      frame.epoch = epoch;
      if (frame.length >= MINIMUM_FRAME_BYTES && validateOffloads(frame)) {
        // A frame that was read cannot be left with the kernel.
        if (!this.network.ingress(this, frame, exchange)) this.count(Counter.overflow_frames);
      } else {
        exchange.dropMalformed(this);
      }
    }
    return true;
  }

  /** A tap tells by its file descriptor. */
  override get hasWork(): boolean {
    return false;
  }

  override awaitNotification(): boolean {
    return false;
  }

  private setVector(index: number, address: number, length: number): void {
    const at = index * iovec.size;
    const { vectorView } = this;
    vectorView.setUint32(at, address % 2 ** 32, true);
    vectorView.setUint32(at + 4, address / 2 ** 32, true);
    vectorView.setUint32(at + 8, length, true);
  }
}
