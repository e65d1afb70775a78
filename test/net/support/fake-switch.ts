import { type PortCounters, PortTable } from '../../../net/counters.ts';
import { Engine } from '../../../net/engine.ts';
import { Impairment, type ImpairmentConfig } from '../../../net/impairment.ts';
import { Network } from '../../../net/network.ts';
import { NicPort } from '../../../net/ports/nic-port.ts';
import { ServedDevice } from '../../../vmm/devices/virtio/served-device.ts';
import { drainEventFd } from '../../../vmm/io/eventfd.ts';
import { GuestMemory } from '../../../vmm/memory/guest-memory.ts';
import { FakeNic, type FakeNicOptions } from './fake-nic.ts';

interface Attached {
  readonly nic: FakeNic;
  readonly port: NicPort;
}

/** The engine of the switch with one network, run by hand in the test's thread with a clock of the test's own. */
export class FakeSwitch {
  readonly table = new PortTable(PortTable.allocate());
  readonly engine: Engine;
  readonly network: Network;
  now_us = 1e6;
  private readonly handlers = new Map<number, () => void>();
  private readonly attached: Attached[] = [];
  private nextPort = 0;

  constructor({ mtu = 1500, ageing_us = 300e6, poolChunks = 4096 } = {}) {
    this.engine = new Engine({
      descriptors: {
        add: (fd, handler) => void this.handlers.set(fd, handler),
        remove: fd => void this.handlers.delete(fd),
      },
      // Each look takes a microsecond, or polling would never end.
      clock_us: () => ++this.now_us,
      poolChunks,
    });
    this.network = new Network({ name: 'lan', mtu, ageing_us }, this.engine.pool, this.engine.delayed);
  }

  /** A guest's driver at a new port. */
  add(options: FakeNicOptions & { impairment?: ImpairmentConfig }): FakeNic {
    const nic = new FakeNic(options);
    this.attach(nic, options.impairment);
    return nic;
  }

  attach(nic: FakeNic, impairment?: ImpairmentConfig): NicPort {
    const { attachment } = nic.device;
    const id = this.nextPort++;
    this.table.reset(id, 0);
    const device = new ServedDevice(attachment, new GuestMemory(nic.guest.ram));
    const setup = { id, name: attachment.name };
    const port = new NicPort(setup, device, this.network, this.table, this.engine.pool);
    port.impairment = impairment && new Impairment(impairment);
    this.engine.attachNic(port, attachment.queueEventFds);
    this.attached.push({ nic, port });
    return port;
  }

  detach(nic: FakeNic): void {
    const index = this.attached.findIndex(entry => entry.nic === nic);
    const [entry] = this.attached.splice(index, 1) as [Attached];
    this.engine.detach(entry.port, nic.device.attachment.queueEventFds);
  }

  /** Lets the net thread do all that it would do now, without time passing. */
  run(): void {
    for (let round = 0; round < 10_000; round++) {
      let notified = false;
      for (const [fd, handler] of [...this.handlers]) {
        if (!drainEventFd(fd)) continue;
        notified = true;
        handler();
      }
      if (this.engine.work() !== 0 && !notified) return;
    }
    throw new Error('the switch does not come to rest');
  }

  /** Lets the net thread do some rounds of work, whether or not it comes to rest. */
  step(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      for (const [fd, handler] of [...this.handlers]) if (drainEventFd(fd)) handler();
      this.engine.work();
    }
  }

  advance(us: number): void {
    this.now_us += us;
    this.run();
  }

  portOf(nic: FakeNic): NicPort {
    return (this.attached.find(entry => entry.nic === nic) as Attached).port;
  }

  counters(nic: FakeNic): PortCounters {
    return this.table.snapshot(this.portOf(nic).id);
  }

  close(): void {
    for (const { nic } of [...this.attached]) {
      this.detach(nic);
      nic.close();
    }
    this.engine.free();
  }
}

/** A test's body with a switch of its own, which is closed however the test ends. */
export const withSwitch =
  (options: ConstructorParameters<typeof FakeSwitch>[0], body: (lan: FakeSwitch) => void) => () => {
    const lan = new FakeSwitch(options);
    try {
      body(lan);
    } finally {
      lan.close();
    }
  };
