import { signalEventFd } from '../../../io/eventfd.ts';
import { ByteRing } from '../../../shared/byte-ring.ts';
import { Status } from '../constants.ts';
import type { DeviceAttachment } from '../served-device.ts';
import { VirtioState } from '../state.ts';
import { ConsoleQueue, consoleModel } from './model.ts';
import { ConsoleState } from './state.ts';

const OUTPUT_CAPACITY = 64 * 1024;

/** The host's end of a console device, for the control thread. */
export class ConsoleEnd {
  /** The output ring's memory. */
  readonly buffer: SharedArrayBuffer = ByteRing.allocate(OUTPUT_CAPACITY);
  /** Called when there is output to take. */
  onOutput: () => void = () => {};
  private readonly output = new ByteRing(this.buffer);
  private readonly sendSize: (columns: number, rows: number) => void;
  private connected:
    | { readonly attachment: DeviceAttachment; readonly device: VirtioState; readonly state: ConsoleState }
    | undefined;

  constructor(sendSize: (columns: number, rows: number) => void) {
    this.sendSize = sendSize;
  }

  connect(attachment: DeviceAttachment): void {
    const device = new VirtioState(attachment.state, consoleModel);
    this.connected = { attachment, device, state: new ConsoleState(device.own) };
  }

  /** The VM is gone: its descriptors are closed, or others have their numbers. */
  disconnect(): void {
    this.connected = undefined;
  }

  /** The guest's driver has set it up. */
  get isLive(): boolean {
    return ((this.connected?.device.status ?? 0) & Status.DRIVER_OK) !== 0;
  }

  /** What the guest has written since the last call; a guest that waited for room goes on. */
  takeOutput(): Uint8Array {
    this.output.clearSignal();
    const bytes = this.output.drain();
    if (bytes.length > 0 && this.connected?.state.unstall() === true) this.notify(ConsoleQueue.TRANSMIT);
    return bytes;
  }

  /**
   * Takes bytes for the guest and answers how many: those that fit, or none while another thread is in the device. Never
   * waits.
   */
  tryReceive(bytes: Uint8Array): number {
    const { device, state } = this.connected ?? {};
    if (device === undefined || state === undefined || !device.lock.tryAcquire()) return 0;
    const count = state.input.pushAll(bytes);
    device.lock.release();
    if (count > 0) this.notify(ConsoleQueue.RECEIVE);
    return count;
  }

  /** The window of the host's terminal has this size. */
  resize(columns: number, rows: number): void {
    this.sendSize(columns, rows);
  }

  private notify(queue: number): void {
    signalEventFd(this.connected?.attachment.queueEventFds[queue] as number);
  }
}
