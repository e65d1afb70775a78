import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RECEIVE_FILTER_OFFSET } from '../../../../vmm/devices/virtio/net/config.ts';
import { Frame } from '../../../../vmm/devices/virtio/net/frame.ts';
import { NetHandler } from '../../../../vmm/devices/virtio/net/handler.ts';
import { netModel } from '../../../../vmm/devices/virtio/net/model.ts';
import { ServedDevice } from '../../../../vmm/devices/virtio/served-device.ts';
import { gpaOffset } from '../../../../vmm/memory/address.ts';
import { GuestMemory } from '../../../../vmm/memory/guest-memory.ts';
import { type DriverQueue, FakeDevice, FakeGuest } from '../../../support/virtio-driver.ts';

const MAC = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const OTHER = [0x52, 0x54, 0, 0x12, 0x34, 0x57];
const BROADCAST = [255, 255, 255, 255, 255, 255];
const GROUP = [0x01, 0, 0x5e, 0, 0, 1];
const OTHER_GROUP = [0x01, 0, 0x5e, 0, 0, 2];

const RX = 0;
const MAC_CLASS = 1;
const [PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST] = [0, 1, 2, 3, 4, 5];

const test = suite('virtio-net');

/** A device with its driver, and the handler between them; what is commanded is served at once. */
class Rig {
  readonly guest = new FakeGuest();
  readonly device = new FakeDevice(this.guest, netModel({ mac: Uint8Array.from(MAC), mtu: 9000 }));
  private readonly served = new ServedDevice(this.device.attachment, new GuestMemory(this.guest.ram));
  readonly handler = new NetHandler(this.served);
  private readonly frame = new Frame();
  private readonly buffer = this.guest.allocate(8192);

  constructor() {
    this.device.initialize();
  }

  get controlQueue(): DriverQueue {
    return this.device.queues[2] as DriverQueue;
  }

  /** Answers the acknowledgment: 0 is good. */
  command(commandClass: number, number: number, data: readonly number[], split = false): number {
    const bytes = Uint8Array.of(commandClass, number, ...data);
    const ack = gpaOffset(this.buffer, 8191);
    this.guest.memory.copyIn(this.buffer, bytes);
    this.guest.memory.writeU8(ack, 99);
    const whole = [{ at: this.buffer, length: bytes.length }];
    const parts = [
      { at: this.buffer, length: 2 },
      { at: gpaOffset(this.buffer, 2), length: bytes.length - 2 },
    ];
    this.controlQueue.add(split ? parts : whole, [{ at: ack, length: 1 }]);
    this.serve();
    assert.is(this.controlQueue.takeUsed()?.written, 1);
    return this.guest.memory.readU8(ack);
  }

  serve(): void {
    assert.ok(this.served.enter());
    this.handler.refresh();
    this.served.guarded(() => this.handler.serveControlQueue());
    this.served.leave();
  }

  /** Whether a frame to this address gets through. */
  admits(mac: readonly number[]): boolean {
    this.frame.reset(60);
    this.frame.bytes.set(mac, 12);
    return this.handler.filter.admits(this.frame);
  }

  admitted(): string {
    return Object.entries({ MAC, OTHER, BROADCAST, GROUP, OTHER_GROUP })
      .filter(([, mac]) => this.admits(mac))
      .map(([name]) => name)
      .join(' ');
  }

  close(): void {
    this.device.close();
    this.guest.free();
    this.frame.free();
  }
}

const withRig = (body: (rig: Rig) => void) => () => {
  const rig = new Rig();
  try {
    body(rig);
  } finally {
    rig.close();
  }
};

const table = (...macs: number[][]) => [macs.length, 0, 0, 0, ...macs.flat()];
const EVERYTHING = 'MAC OTHER BROADCAST GROUP OTHER_GROUP';

test(
  'netModel: the driver reads address, link, queue pairs and MTU',
  withRig(({ device }) => {
    assert.equal([...device.config(12)], [...MAC, 1, 0, 1, 0, 9000 & 0xff, 9000 >> 8]);
  }),
);

test(
  'ReceiveFilter: everything gets through until the driver says otherwise, and after a reset again',
  withRig(rig => {
    assert.is(rig.admitted(), EVERYTHING);
    assert.is(rig.command(RX, PROMISC, [0]), 0);
    assert.is(rig.admitted(), 'MAC BROADCAST');
    rig.device.setStatus(0);
    rig.device.initialize();
    assert.is(rig.admitted(), EVERYTHING);
  }),
);

test(
  'ReceiveFilter: each mode lets through or keeps away what its name says',
  withRig(rig => {
    rig.command(RX, PROMISC, [0]);
    for (const [mode, expected] of [
      [ALLMULTI, 'MAC BROADCAST GROUP OTHER_GROUP'],
      [ALLUNI, 'MAC OTHER BROADCAST'],
      [NOUNI, 'BROADCAST'],
      [NOBCAST, 'MAC'],
    ] as const) {
      assert.is(rig.command(RX, mode, [1]), 0);
      assert.is(rig.admitted(), expected);
      rig.command(RX, mode, [0]);
      assert.is(rig.admitted(), 'MAC BROADCAST');
    }
    rig.command(RX, ALLMULTI, [1]);
    rig.command(RX, NOMULTI, [1]);
    assert.is(rig.admitted(), 'MAC BROADCAST');
  }),
);

test(
  'ReceiveFilter: the address table is used as far as it fits, else all of the kind passes',
  withRig(rig => {
    rig.command(RX, PROMISC, [0]);
    assert.is(rig.command(MAC_CLASS, 0, [...table(OTHER), ...table(GROUP)], true), 0);
    assert.is(rig.admitted(), 'MAC OTHER BROADCAST GROUP');
    assert.is(rig.command(MAC_CLASS, 0, [...table(), ...table(OTHER_GROUP)]), 0);
    assert.is(rig.admitted(), 'MAC BROADCAST OTHER_GROUP');
    const many = Array.from({ length: 40 }, (_, i) => [2, 0, 0, 0, 1, i]);
    assert.is(rig.command(MAC_CLASS, 0, [...table(...many), ...table()]), 0);
    assert.is(rig.admitted(), EVERYTHING);
  }),
);

test(
  'serveControl: a new address takes effect and is seen in the configuration space',
  withRig(rig => {
    rig.command(RX, PROMISC, [0]);
    assert.is(rig.command(MAC_CLASS, 1, OTHER), 0);
    assert.is(rig.admitted(), 'OTHER BROADCAST');
    assert.equal([...rig.device.config(6)], OTHER);
    rig.device.setStatus(0);
    assert.equal([...rig.device.config(6)], MAC);
  }),
);

test(
  'serveControl: what is unknown or malformed is refused and changes nothing',
  withRig(rig => {
    const before = rig.device.config(256);
    for (const [commandClass, number, data] of [
      [9, 0, []],
      [RX, 6, [1]],
      [RX, PROMISC, []],
      [RX, PROMISC, [0, 0]],
      [MAC_CLASS, 0, []],
      [MAC_CLASS, 0, [255, 255, 255, 255, 0, 0, 0, 0]],
      [MAC_CLASS, 0, [...table(OTHER), 1, 0]],
      [MAC_CLASS, 0, [...table(OTHER), 2, 0, 0, 0, ...GROUP]],
      [MAC_CLASS, 1, [1, 2, 3, 4, 5]],
      [MAC_CLASS, 1, GROUP],
      [MAC_CLASS, 7, OTHER],
      [RX, PROMISC, Array(5000).fill(0)],
    ] as const) {
      assert.is(rig.command(commandClass, number, data), 1, `${commandClass} ${number} ${data.length}`);
    }
    assert.equal(rig.device.config(256), before);
    assert.not(rig.device.needsReset);
    assert.ok(before[RECEIVE_FILTER_OFFSET] === 1);
  }),
);

test(
  'serveControl: a command without room for an answer is given back unanswered',
  withRig(rig => {
    const at = rig.guest.allocate(16);
    rig.guest.memory.copyIn(at, Uint8Array.of(RX, PROMISC as number, 0));
    rig.controlQueue.add([{ at, length: 3 }], []);
    rig.serve();
    assert.is(rig.controlQueue.takeUsed()?.written, 0);
    assert.is(rig.admitted(), 'MAC BROADCAST');
  }),
);

test.run();
