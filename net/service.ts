import { ServedDevice } from '../vmm/devices/virtio/served-device.ts';
import { TsvmmError } from '../vmm/errors.ts';
import { GuestMemory } from '../vmm/memory/guest-memory.ts';
import { CaptureProducer } from './capture/producer.ts';
import { CaptureRing } from './capture/ring.ts';
import { PortTable, type PortTableBuffers } from './counters.ts';
import type { Engine } from './engine.ts';
import { Impairment } from './impairment.ts';
import type { NetMessage } from './messages.ts';
import { Network } from './network.ts';
import { NicPort } from './ports/nic-port.ts';
import type { Port } from './ports/port.ts';
import { TapPort } from './ports/tap-port.ts';

type Message<Kind extends NetMessage['kind']> = Extract<NetMessage, { kind: Kind }>;

/** Carries out the control side's messages. The control side checks what users ask for; here only bugs throw. */
export class NetService {
  private readonly engine: Engine;
  private readonly table: PortTable;
  private readonly networks = new Map<number, Network>();
  /** The file descriptors that each port was attached with. */
  private readonly descriptors = new Map<Port, readonly number[]>();

  constructor(engine: Engine, table: PortTableBuffers) {
    this.engine = engine;
    this.table = new PortTable(table);
  }

  handle(message: Exclude<NetMessage, Message<'extension'>>): void {
    switch (message.kind) {
      case 'create-network': {
        const { pool, delayed } = this.engine;
        this.networks.set(message.network, new Network(message.setup, pool, delayed));
        return;
      }
      case 'destroy-network':
        this.destroy(message.network);
        return;
      case 'attach-nic':
        this.attachNic(message);
        return;
      case 'attach-tap':
        this.attachTap(message);
        return;
      case 'detach':
        this.detach(this.port(message.port));
        return;
      case 'impair': {
        const { port, impairment } = message;
        this.port(port).impairment = impairment && new Impairment(impairment);
        return;
      }
      case 'start-capture':
        this.startCapture(message);
        return;
      case 'stop-capture':
        this.stopCapture(this.network(message.network));
        return;
    }
  }

  private destroy(number: number): void {
    const network = this.network(number);
    for (const port of [...network.ports]) this.detach(port);
    this.stopCapture(network);
    this.networks.delete(number);
  }

  private attachNic({ network, setup, attachment, ram }: Message<'attach-nic'>): void {
    const device = new ServedDevice(attachment, new GuestMemory(ram));
    const port = new NicPort(setup, device, this.network(network), this.table, this.engine.pool);
    this.descriptors.set(port, attachment.queueEventFds);
    this.engine.attachNic(port, attachment.queueEventFds);
  }

  private attachTap({ network, setup }: Message<'attach-tap'>): void {
    const port = new TapPort(setup, this.network(network), this.table, this.engine.pool);
    this.descriptors.set(port, [setup.fd]);
    this.engine.attachTap(port);
  }

  private detach(port: Port): void {
    this.engine.detach(port, this.descriptors.get(port) ?? []);
    this.descriptors.delete(port);
  }

  private startCapture({ network, ring, snapLength }: Message<'start-capture'>): void {
    const options = { snapLength, clock_ns: wallClock_ns };
    this.network(network).capture = new CaptureProducer(new CaptureRing(ring), options);
  }

  private stopCapture(network: Network): void {
    network.capture?.finish();
    network.capture = undefined;
  }

  private network(number: number): Network {
    return this.networks.get(number) ?? missing('network', number);
  }

  private port(number: number): Port {
    return this.engine.portAt(number) ?? missing('port', number);
  }
}

function missing(what: string, number: number): never {
  throw new TsvmmError('TSVMM_E_INTERNAL', `the net thread knows no ${what} ${number}`);
}

/** Nanoseconds since 1970; finer than Date.now(). */
const wallClock_ns = (): bigint =>
  BigInt(Math.round(performance.timeOrigin * 1000)) * 1000n + BigInt(Math.round(performance.now() * 1e6));
