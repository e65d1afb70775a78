import type { Frame } from '../../vmm/devices/virtio/net/frame.ts';
import { NetHandler, type Received } from '../../vmm/devices/virtio/net/handler.ts';
import type { Entry, ServedDevice } from '../../vmm/devices/virtio/served-device.ts';
import { Counter, type PortTable } from '../counters.ts';
import { type Exchange, RETRY_US } from '../exchange.ts';
import { macFromBytes } from '../mac.ts';
import type { Network } from '../network.ts';
import type { FramePool } from '../queues/frame-pool.ts';
import { Port, type PortSetup } from './port.ts';

/** The port of a VM's network card. */
export class NicPort extends Port {
  private readonly device: ServedDevice;
  private readonly handler: NetHandler;
  private mac = -1;
  private controlDue = true;
  /** Arguments and results of the work below: made once, as closures on each frame would be garbage. */
  private exchange: Exchange | undefined;
  private more = false;
  private incoming: Frame | undefined;
  private acceptance: Received = 'refused';
  private readonly transmitWork = () => this.transmitAll(this.exchange as Exchange);
  private readonly acceptWork = () => {
    this.acceptance = this.handler.receive(this.incoming as Frame);
  };
  private readonly controlWork = () => this.handler.serveControlQueue();

  constructor(setup: PortSetup, device: ServedDevice, network: Network, table: PortTable, pool: FramePool) {
    super(setup, network, table, pool);
    this.device = device;
    this.handler = new NetHandler(device);
    this.fixMac();
  }

  /** The driver notified its control queue. */
  noteControl(): void {
    this.controlDue = true;
  }

  override enter(): Entry {
    const entry = this.device.tryEnter();
    if (entry === 'entered' && this.handler.refresh()) this.activated();
    return entry;
  }

  override leave(): void {
    this.handler.publish();
    this.device.leave();
  }

  override accept(frame: Frame): Received {
    this.incoming = frame;
    this.acceptance = 'refused';
    this.guarded(this.acceptWork);
    return this.acceptance;
  }

  override transmit(exchange: Exchange): boolean {
    this.exchange = exchange;
    this.more = false;
    this.isBlocked = false;
    if (this.controlDue) this.serveControl();
    this.guarded(this.transmitWork);
    return this.more;
  }

  override get hasWork(): boolean {
    return this.handler.transmitQueue?.hasAvailable ?? false;
  }

  override awaitNotification(): boolean {
    return this.handler.transmitQueue?.enableNotifications() ?? false;
  }

  private transmitAll(exchange: Exchange): void {
    const { handler, network } = this;
    const frame = exchange.incoming;
    // One epoch for the whole turn: the lock is held, so nobody makes a cut meanwhile.
    const { epoch } = this;
    while (exchange.hasBudget) {
      const taken = handler.take(frame);
      if (taken === 'empty') {
        if (exchange.watch(this)) {
          handler.transmitQueue?.disableNotifications();
          return;
        }
        if (!this.awaitNotification()) return;
        continue;
      }
      frame.epoch = epoch;
      if (taken === 'malformed') {
        exchange.dropMalformed(this);
      } else if (!network.ingress(this, frame, exchange)) {
        handler.undoTake();
        this.isBlocked = true;
        exchange.retryAt(this, exchange.now_us + RETRY_US);
        return;
      }
      handler.finish();
    }
    this.more = true;
  }

  private activated(): void {
    this.accepts = this.handler.accepts;
    this.isStarved = false;
    this.controlDue = true;
    this.fixMac();
  }

  private serveControl(): void {
    this.controlDue = false;
    this.guarded(this.controlWork);
    this.fixMac();
  }

  /** The address that the device has now is where the network looks for it, even before it sent anything. */
  private fixMac(): void {
    const mac = macFromBytes(this.handler.filter.mac);
    if (mac === this.mac) return;
    this.network.table.unfix(this.mac, this);
    this.network.table.fix(mac, this);
    this.mac = mac;
  }

  private guarded(work: () => void): void {
    if (!this.device.guarded(work)) this.count(Counter.violations);
  }
}
