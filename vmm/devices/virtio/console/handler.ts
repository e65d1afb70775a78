import type { EventLoop } from '../../../io/event-loop.ts';
import { drainEventFd, signalEventFd } from '../../../io/eventfd.ts';
import { gpaOffset } from '../../../memory/address.ts';
import type { ByteRing } from '../../../shared/byte-ring.ts';
import { DescriptorChain } from '../chain.ts';
import type { VirtQueue } from '../queue.ts';
import type { DeviceAttachment, ServedDevice } from '../served-device.ts';
import { consoleConfig } from './config.ts';
import { ConsoleQueue, QUEUE_SIZE } from './model.ts';
import { ConsoleState } from './state.ts';

/** Then others have their turn. */
const BUFFERS_PER_TURN = 64;
const PIECE_BYTES = 4096;

export interface ConsoleOutput {
  /** Guest to host. */
  readonly ring: ByteRing;
  /** Tells the control side that there is some; once until it has looked. */
  announce(): void;
}

/**
 * Serves the one port of a console device. What the host does not fetch fast enough stays in the guest's buffers, which
 * are completed as room comes; what the guest has no buffers for stays in the input ring.
 */
export class ConsoleHandler {
  private readonly device: ServedDevice;
  private readonly output: ConsoleOutput;
  private readonly state: ConsoleState;
  private readonly loop: EventLoop;
  private readonly receiveFd: number;
  private readonly transmitFd: number;
  private readonly chain = new DescriptorChain(QUEUE_SIZE);
  private readonly piece = new Uint8Array(PIECE_BYTES);

  constructor(
    device: ServedDevice,
    { queueEventFds }: DeviceAttachment,
    loop: EventLoop,
    output: ConsoleOutput,
  ) {
    this.device = device;
    this.output = output;
    this.loop = loop;
    this.state = new ConsoleState(device.state.own);
    this.receiveFd = queueEventFds[ConsoleQueue.RECEIVE] as number;
    this.transmitFd = queueEventFds[ConsoleQueue.TRANSMIT] as number;
    loop.add(this.receiveFd, () => this.serve(this.receiveFd, ConsoleQueue.RECEIVE));
    loop.add(this.transmitFd, () => this.serve(this.transmitFd, ConsoleQueue.TRANSMIT));
  }

  detach(): void {
    this.loop.remove(this.receiveFd);
    this.loop.remove(this.transmitFd);
  }

  /** The window of the host's terminal has another size (section 5.3.5). */
  resize(columns: number, rows: number): void {
    const config = consoleConfig.allocate();
    config.cols = columns;
    config.rows = rows;
    this.device.setConfig(0, config.bytes.subarray(0, 4));
  }

  private serve(fd: number, index: number): void {
    drainEventFd(fd);
    const { device } = this;
    const served = device.serve(() => {
      const queue = device.queue(index);
      const inOrder = queue === undefined || device.guarded(() => this.serveSome(queue, index, fd));
      if (!inOrder) this.state.outputDone = 0;
    });
    if (!served) return;
    const { ring } = this.output;
    if (ring.length > 0 && ring.claimSignal()) this.output.announce();
  }

  private serveSome(queue: VirtQueue, index: number, fd: number): void {
    const again = index === ConsoleQueue.TRANSMIT ? this.transmit(queue) : this.receive(queue);
    this.device.publish(queue);
    if (again) signalEventFd(fd);
  }

  /** True when there is more to do at once. */
  private transmit(queue: VirtQueue): boolean {
    const { chain, state, output } = this;
    for (let count = 0; count < BUFFERS_PER_TURN; count++) {
      if (!queue.pop(chain)) return queue.enableNotifications();
      if (!this.outputChain()) {
        queue.undoPop();
        state.stall();
        // Whoever made room before it could see that looked too early.
        return output.ring.free > 0;
      }
      queue.push(chain.head, 0);
    }
    return true;
  }

  /** Outputs what is left of the chain; false when the ring is full before its end. */
  private outputChain(): boolean {
    const { chain, state, output, piece, device } = this;
    let skip = state.outputDone;
    for (let i = 0; i < chain.readableCount; i++) {
      const length = chain.length(i);
      for (let at = Math.min(skip, length); at < length; ) {
        const room = Math.min(length - at, PIECE_BYTES, output.ring.free);
        if (room === 0) return false;
        const part = piece.subarray(0, room);
        device.memory.copyOut(gpaOffset(chain.address(i), at), part);
        output.ring.pushAll(part);
        at += room;
        state.outputDone += room;
      }
      skip -= Math.min(skip, length);
    }
    state.outputDone = 0;
    return true;
  }

  private receive(queue: VirtQueue): boolean {
    const { chain, state, device } = this;
    for (let count = 0; count < BUFFERS_PER_TURN; count++) {
      if (state.input.length === 0) return false;
      if (!queue.pop(chain)) return queue.enableNotifications();
      let written = 0;
      for (let i = chain.readableCount; i < chain.count && state.input.length > 0; i++) {
        const bytes = state.input.take(chain.length(i));
        device.memory.copyIn(chain.address(i), bytes);
        written += bytes.length;
      }
      queue.push(chain.head, written);
    }
    return true;
  }
}
