/**
 * The switch of production (net) with the epoch protocol of production in it (cli/cluster/epochs), turned by hand: VMs
 * are network drivers without a CPU, time is the test's. Cuts, aborts and traffic come in random order; every link must
 * be a channel without loss, and what is recorded must be what was in flight.
 *
 *   SEED=123 npx tsx test/snapshot/cluster/real-switch.test.ts      SEEDS=5000 for more of them
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DrainResult, EpochNotice } from '../../../cli/cluster/epochs/messages.ts';
import { SwitchEpochs } from '../../../cli/cluster/epochs/switch-extension.ts';
import { NET_HEADER_BYTES } from '../../../snapshot/cluster/channel.ts';
import { FilterMode } from '../../../snapshot/cluster/filter.ts';
import { PortEpochs } from '../../../snapshot/cluster/port-epochs.ts';
import { ethernetFrame, type FakeNic, RECEIVE_OFFLOADS, sourceOf } from '../../net/support/fake-nic.ts';
import { FakeSwitch } from '../../net/support/fake-switch.ts';
import { counting, netHeader, tcpFrame } from '../../net/support/packets.ts';
import { Random } from './simulation/random.ts';

const SEEDS = Number(process.env.SEEDS ?? 60);
const test = suite('the real switch');

const MAC = 0x520000000000;
const SEQ_AT = 20;

interface Vm {
  readonly index: number;
  readonly name: string;
  readonly nic: FakeNic;
  /** The receivers of all frames given to the driver, in order, and how many of them the switch has taken. */
  readonly given: number[];
  taken: number;
  readonly sentTo: number[];
  /** How many frames have come from each VM; they come in order. */
  readonly receivedFrom: number[];
  isLocked: boolean;
}

interface Cut {
  readonly sentTo: number[];
  readonly receivedFrom: number[];
}

class RealWorld {
  readonly random: Random;
  readonly lan = new FakeSwitch({ poolChunks: 16 * 1024 });
  readonly notices: EpochNotice[] = [];
  readonly epochs: SwitchEpochs;
  readonly ports: PortEpochs;
  readonly vms: Vm[] = [];
  epoch = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    this.epochs = new SwitchEpochs(this.lan.engine, notice => this.notices.push(notice));
    this.ports = new PortEpochs(this.lan.table.buffers.epochs);
    const count = this.random.between(2, 4);
    for (let index = 0; index < count; index++) this.addVm(index, count);
    // The switch learns who is where, so that nothing is flooded later.
    for (const vm of this.vms) vm.nic.send(ethernetFrame(0xffffffffffff, vm.nic.mac));
    for (let round = 0; round < 10; round++) {
      this.lan.advance(1_000);
      for (const vm of this.vms) vm.nic.receiveAll();
    }
    for (const vm of this.vms) vm.nic.reclaim();
  }

  private addVm(index: number, count: number): void {
    const { random } = this;
    const delay_us = random.pick([0, 0, 150, 900]);
    const nic = this.lan.add({
      mac: MAC + index,
      name: `vm${index}/net0`,
      receiveBuffers: random.pick([4, 64]),
      guestBytes: 2 ** 20,
      ...(delay_us === 0 ? {} : { impairment: { delay_us } }),
    });
    const zeros = () => Array.from({ length: count }, () => 0);
    const name = `vm${index}/net0`;
    this.vms.push({
      index,
      name,
      nic,
      given: [],
      taken: 0,
      sentTo: zeros(),
      receivedFrom: zeros(),
      isLocked: false,
    });
  }

  close(): void {
    this.lan.close();
  }

  /** Some random things happen: frames are sent and received, time passes, the switch works. */
  play(steps: number): void {
    const { random, lan } = this;
    for (let step = random.between(0, steps); step > 0; step--) {
      const vm = random.pick(this.vms);
      const dice = random.next();
      if (dice < 0.6) this.send(vm);
      else if (dice < 0.75) lan.step(random.between(1, 3));
      else if (dice < 0.85) lan.advance(random.between(10, 300));
      else this.receive(vm);
    }
  }

  send(vm: Vm): void {
    if (vm.isLocked) return;
    this.reclaim(vm);
    if (vm.nic.transmitQueue.freeCount === 0) return;
    const to = this.random.pick(this.vms.filter(other => other !== vm));
    const frame = ethernetFrame(to.nic.mac, vm.nic.mac, this.random.pick([60, 300, 1400]));
    new DataView(frame.buffer).setUint32(SEQ_AT, vm.given.filter(receiver => receiver === to.index).length);
    vm.given.push(to.index);
    vm.nic.send(frame);
  }

  receive(vm: Vm): void {
    if (vm.isLocked) return;
    for (const { frame } of vm.nic.receiveAll()) {
      const from = sourceOf(frame) - MAC;
      const expected = vm.receivedFrom[from] as number;
      assert.is(seqOf(frame), expected, `${vm.name} from vm${from}, epoch ${this.epoch}`);
      vm.receivedFrom[from] = expected + 1;
    }
  }

  private reclaim(vm: Vm): void {
    for (let count = vm.nic.reclaim(); count > 0; count--) {
      const to = vm.given[vm.taken++] as number;
      vm.sentTo[to] = (vm.sentTo[to] as number) + 1;
    }
  }

  /** The VM's pause, with the switch at work around it. */
  cut(vm: Vm): Cut {
    const { lock } = vm.nic.device.state;
    lock.acquire();
    this.receive(vm);
    this.reclaim(vm);
    vm.isLocked = true;
    this.play(6);
    const cut = { sentTo: [...vm.sentTo], receivedFrom: [...vm.receivedFrom] };
    this.ports.raise(this.lan.portOf(vm.nic).id, this.epoch);
    this.play(6);
    vm.isLocked = false;
    lock.release();
    if (this.random.chance(0.7)) this.wake(vm);
    return cut;
  }

  private wake(vm: Vm): void {
    this.epochs.handle({ kind: 'wake', ports: [this.lan.portOf(vm.nic).id] });
  }

  /** One attempt; it is given up after some of the cuts if the dice say so. */
  attempt(): number {
    const { random, epochs } = this;
    this.epoch++;
    epochs.handle({ kind: 'open', epoch: this.epoch, mode: FilterMode.hold });
    const order = [...this.vms].sort(() => random.next() - 0.5);
    const abortAfter = random.chance(0.3) ? random.between(0, order.length) : undefined;
    const cuts = new Map<Vm, Cut>();
    for (const vm of order) {
      if (cuts.size === abortAfter) break;
      this.play(12);
      cuts.set(vm, this.cut(vm));
    }
    this.play(12);
    if (abortAfter !== undefined) {
      for (const vm of this.vms) this.ports.raise(this.lan.portOf(vm.nic).id, this.epoch);
      epochs.handle({ kind: 'abort', epoch: this.epoch });
      return 0;
    }
    return this.check(cuts, epochs.handle({ kind: 'drain', epoch: this.epoch }) as DrainResult);
  }

  private check(cuts: ReadonlyMap<Vm, Cut>, { frames }: DrainResult): number {
    for (const [from, { sentTo }] of cuts) {
      for (const [to, { receivedFrom }] of cuts) {
        if (from === to) continue;
        const received = receivedFrom[from.index] as number;
        const sent = sentTo[to.index] as number;
        assert.ok(received <= sent, `${to.name} received ${received} of ${sent} from ${from.name}`);
        const recorded = frames
          .filter(frame => frame.sender === from.name && frame.receiver === to.name)
          .map(frame => seqOf(frame.bytes.subarray(NET_HEADER_BYTES)));
        const inFlight = Array.from({ length: sent - received }, (_, index) => received + index);
        assert.equal(recorded, inFlight, `${from.name} to ${to.name}, epoch ${this.epoch}`);
      }
    }
    return frames.length;
  }

  /** Until nothing moves any more: then everything has arrived. */
  finish(): void {
    for (let round = 0; round < 400; round++) {
      for (const vm of this.vms) this.receive(vm);
      this.lan.advance(500);
    }
    for (const vm of this.vms) this.reclaim(vm);
    for (const vm of this.vms) {
      assert.is(vm.taken, vm.given.length, `${vm.name} still waits`);
      for (const from of this.vms) {
        assert.is(vm.receivedFrom[from.index], from.sentTo[vm.index], `${from.name} to ${vm.name}`);
      }
    }
  }
}

const seqOf = (frame: Uint8Array) => new DataView(frame.buffer, frame.byteOffset).getUint32(SEQ_AT);

function run(seed: number): { recorded: number; notices: number } {
  const world = new RealWorld(seed);
  try {
    let recorded = 0;
    for (let attempts = world.random.between(1, 4); attempts > 0; attempts--) {
      world.play(40);
      recorded += world.attempt();
    }
    world.finish();
    return { recorded, notices: world.notices.length };
  } finally {
    world.close();
  }
}

const only = process.env.SEED;
test(`keeps the promises of the epoch protocol (${only === undefined ? `${SEEDS} seeds` : `seed ${only}`})`, () => {
  const seeds = only === undefined ? Array.from({ length: SEEDS }, (_, seed) => seed + 1) : [Number(only)];
  const total = { recorded: 0, notices: 0 };
  for (const seed of seeds) {
    try {
      const { recorded, notices } = run(seed);
      total.recorded += recorded;
      total.notices += notices;
    } catch (error) {
      throw new Error(
        `SEED=${seed}: ${(error as Error).message} ${(error as { details?: string }).details ?? ''}`,
        { cause: error },
      );
    }
  }
  console.log(`${total.recorded} frames recorded, ${total.notices} notices`);
  if (only === undefined) assert.ok(total.recorded > SEEDS && total.notices > SEEDS / 2);
});

test('records a large frame once, also when it is cut up and part of it has to wait', () => {
  const lan = new FakeSwitch();
  try {
    const epochs = new SwitchEpochs(lan.engine, () => {});
    const a = lan.add({ mac: MAC, name: 'a/net0' });
    const b = lan.add({ mac: MAC + 1, name: 'b/net0', receiveBuffers: 4, without: RECEIVE_OFFLOADS });
    const ports = new PortEpochs(lan.table.buffers.epochs);
    epochs.handle({ kind: 'open', epoch: 1, mode: FilterMode.hold });
    ports.raise(lan.portOf(b).id, 1);
    const { frame, tcp } = tcpFrame({ to: b.mac, from: a.mac, payload: counting(20_000) });
    const offload = { flags: 1, gsoType: 1, gsoSize: 1448, checksumStart: tcp, checksumOffset: 16 };
    a.send(frame, { header: netHeader(offload) });
    lan.run();
    ports.raise(lan.portOf(a).id, 1);
    assert.is(lan.portOf(b).backlog.length, 10);
    const { frames } = epochs.handle({ kind: 'drain', epoch: 1 }) as DrainResult;
    assert.equal(
      frames.map(({ bytes }) => bytes.length),
      [NET_HEADER_BYTES + frame.length],
    );
    let segments = 0;
    for (let round = 0; round < 10; round++) {
      segments += b.receiveAll().length;
      lan.advance(1_000);
    }
    assert.is(segments, 14);
  } finally {
    lan.close();
  }
});

test('inject(): every recorded frame arrives, in order, also when they are more than a queue and the pool hold', () => {
  const lan = new FakeSwitch({ poolChunks: 64 });
  try {
    const epochs = new SwitchEpochs(lan.engine, () => {});
    const a = lan.add({ mac: MAC, name: 'a/net0' });
    const b = lan.add({ mac: MAC + 1, name: 'b/net0', receiveBuffers: 8 });
    const [sender, receiver] = [lan.portOf(a).id, lan.portOf(b).id];
    const count = 3000;
    const frames = Array.from({ length: count }, (_, seq) => {
      const frame = ethernetFrame(b.mac, a.mac, 60);
      new DataView(frame.buffer).setUint32(SEQ_AT, seq);
      return { sender, receiver, epoch: 0, bytes: Buffer.concat([netHeader({}), frame]) };
    });
    epochs.handle({ kind: 'inject', frames });
    const received: number[] = [];
    for (let round = 0; round < count && received.length < count; round++) {
      received.push(...b.receiveAll().map(({ frame }) => seqOf(frame)));
      lan.advance(200);
    }
    assert.equal(
      received,
      frames.map((_, seq) => seq),
    );
    assert.is(lan.counters(b).overflow_frames, 0);
  } finally {
    lan.close();
  }
});

test('inject(): a frame whose header contradicts it is counted, and nobody gets it', () => {
  const lan = new FakeSwitch();
  try {
    const epochs = new SwitchEpochs(lan.engine, () => {});
    const b = lan.add({ mac: MAC + 1, name: 'b/net0' });
    const bytes = Buffer.concat([
      netHeader({ flags: 1, checksumStart: 5000 }),
      ethernetFrame(b.mac, MAC, 60),
    ]);
    epochs.handle({ kind: 'inject', frames: [{ sender: -1, receiver: lan.portOf(b).id, epoch: 0, bytes }] });
    lan.run();
    assert.is(b.receiveAll().length, 0);
    assert.is(lan.counters(b).malformed_frames, 1);
  } finally {
    lan.close();
  }
});

test('a switch that holds frames for a receiver without buffers sleeps between its retries', () => {
  const lan = new FakeSwitch();
  try {
    const epochs = new SwitchEpochs(lan.engine, () => {});
    const a = lan.add({ mac: MAC, name: 'a/net0' });
    const b = lan.add({ mac: MAC + 1, name: 'b/net0', receiveBuffers: 0 });
    const c = lan.add({ mac: MAC + 2, name: 'c/net0' });
    epochs.handle({ kind: 'open', epoch: 1, mode: FilterMode.hold });
    new PortEpochs(lan.table.buffers.epochs).raise(lan.portOf(a).id, 1);
    a.send(ethernetFrame(b.mac, a.mac, 60));
    // Traffic opens the polling window as far as it goes.
    for (let round = 0; round < 50; round++) {
      c.send(ethernetFrame(b.mac, c.mac, 60));
      lan.advance(20);
    }
    assert.is(lan.portOf(b).held.length, 1);
    assert.is(lan.portOf(b).backlog.length, 50);
    let sleeps = 0;
    for (let round = 0; round < 500; round++) {
      lan.now_us += 20;
      if (lan.engine.work() !== 0) sleeps++;
    }
    assert.ok(sleeps > 250, `${sleeps} sleeps in 500 rounds`);
  } finally {
    lan.close();
  }
});

test.run();
