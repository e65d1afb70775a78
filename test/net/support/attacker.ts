import { macToBytes } from '../../../net/mac.ts';
import type { Random } from '../../../net/random.ts';
import { offeredFeatures } from '../../../vmm/devices/virtio/model.ts';
import { type Gpa, gpa, gpaOffset } from '../../../vmm/memory/address.ts';
import { FakeNic } from './fake-nic.ts';
import { netHeader, tcpFrame } from './packets.ts';

/** Registers of virtio-mmio, some that do not exist, and the configuration space. */
const REGISTER_END = 0x200;

/**
 * A driver that does whatever a guest can do, mostly wrong: descriptors, rings, registers, headers, commands. All its
 * choices come from `random`.
 */
export class Attacker {
  readonly nic: FakeNic;
  private readonly random: Random;
  private readonly victims: readonly number[];
  private readonly scratch: Gpa;
  private readonly mark: number;

  private readonly recklessness: number;

  /** `recklessness` is how often it does what makes the device ask for a reset; else little else would be tried. */
  constructor(mac: number, random: Random, victims: readonly number[], recklessness: number) {
    this.random = random;
    this.recklessness = recklessness;
    this.victims = victims;
    this.nic = new FakeNic({ mac, name: `attacker${mac % 16}/net0`, receiveBuffers: 32 });
    this.scratch = this.nic.guest.allocate(128 * 1024, 4096);
    this.mark = this.nic.guest.mark;
  }

  act(): void {
    const { random, nic } = this;
    const harmless = [
      () => this.sendPlausible(),
      () => this.sendPlausible(),
      () => this.sendPlausible(),
      () => this.sendNoise(),
      () => this.command(),
      () => this.kickAll(),
      () => this.offerBuffers(),
    ];
    const reckless = [
      () => this.scribbleDescriptors(),
      () => this.scribbleRings(),
      () => this.jumpIndex(),
      () => this.writeRegister(),
    ];
    // Every so often it starts anew, or nothing would come after the first mistake.
    if (random.below(200) === 0 || (nic.device.needsReset && random.below(3) === 0)) this.restart();
    const actions = random.next() < this.recklessness ? reckless : harmless;
    actions[random.below(actions.length)]?.();
  }

  /** Where its queues lie once it has started anew. */
  get queueArea(): { start: number; length: number } {
    return { start: this.mark, length: 48 * 1024 };
  }

  private restart(): void {
    const { device, guest } = this.nic;
    guest.rewind(this.mark);
    const all = offeredFeatures(device.attachment.model);
    let without = 0n;
    for (let bit = 0n; bit < 32n; bit++) if (this.random.below(4) === 0) without |= all & (1n << bit);
    device.initialize({ without, queueSize: 2 ** (1 + this.random.below(8)) });
    this.offerBuffers();
    this.kickAll();
  }

  /** Receive buffers that lie anywhere and overlap, in one to three pieces. */
  private offerBuffers(): void {
    const queue = this.queue(0);
    while (queue.takeUsed() !== undefined);
    for (let i = 0; i < 20 && queue.freeCount > 4; i++) {
      queue.add(
        [],
        Array.from({ length: 1 + this.random.below(3) }, () => this.buffer()),
      );
    }
    queue.kick();
  }

  /** A frame that is right or nearly so: TCP with offloads asked for, some bytes or fields changed. */
  private sendPlausible(): void {
    const { random } = this;
    const mostly = (right: number, ...wrong: number[]) =>
      random.below(8) === 0 ? (wrong[random.below(wrong.length)] as number) : right;
    const version = random.below(2) === 0 ? 4 : 6;
    const isLarge = random.below(2) === 0;
    const sent = tcpFrame({
      version,
      to: this.target(),
      from: random.below(3) === 0 ? this.target() : this.nic.mac,
      payload: new Uint8Array(random.below(isLarge ? 20_000 : 1400)),
      tcpOptions: 4 * random.below(11),
      ipOptions: 4 * random.below(11),
      vlanTags: random.below(3),
      extension: random.below(4) === 0,
    });
    const damage = random.below(3) === 0 ? random.below(4) : 0;
    for (let i = 0; i < damage; i++) sent.frame[random.below(sent.headers)] = random.below(256);
    const kind = (version === 4 ? 1 : 4) | mostly(0, 0x80, 0x40);
    const header = netHeader({
      flags: mostly(1, 0, random.below(256)),
      gsoType: mostly(isLarge ? kind : 0, 1, 4, 3, 5, random.below(256)),
      headerLength: random.below(65536),
      gsoSize: mostly(1448, 1, 0, 100, random.below(65536)),
      checksumStart: mostly(sent.tcp, sent.tcp + 1, random.below(65536)),
      checksumOffset: mostly(16, 6, random.below(65536)),
    });
    const cut = random.below(20) === 0 ? random.below(sent.frame.length) : sent.frame.length;
    this.put(new Uint8Array([...header, ...sent.frame.subarray(0, cut)]));
  }

  private sendNoise(): void {
    const bytes = Uint8Array.from({ length: this.random.below(300) }, () => this.random.below(256));
    if (this.random.below(2) === 0 && bytes.length > 18) bytes.set(macToBytes(this.target()), 12);
    this.put(bytes);
  }

  private put(bytes: Uint8Array): void {
    const queue = this.queue(1);
    while (queue.takeUsed() !== undefined);
    if (queue.freeCount < 8) return;
    this.nic.guest.memory.copyIn(this.scratch, bytes);
    const parts: { at: Gpa; length: number }[] = [];
    for (let offset = 0; offset < bytes.length && parts.length < 6; ) {
      const length =
        parts.length === 5 ? bytes.length - offset : this.random.below(bytes.length - offset + 1);
      parts.push({ at: gpaOffset(this.scratch, offset), length });
      offset += length;
    }
    if (parts.length === 0) return;
    queue.add(parts, this.random.below(10) === 0 ? [this.buffer()] : [], {
      indirect: this.random.below(2) === 0,
    });
    if (this.random.below(4) !== 0) queue.kick();
  }

  private scribbleDescriptors(): void {
    const { random } = this;
    const queue = this.queue(random.below(3));
    for (let i = 1 + random.below(8); i > 0; i--) {
      queue.writeDescriptor(queue.descriptors, random.below(queue.size), {
        at: this.address(),
        length: this.length(),
        flags: random.below(8),
        next: random.below(random.below(4) === 0 ? 65536 : queue.size),
      });
    }
    this.jumpIndex();
  }

  private scribbleRings(): void {
    const { random, nic } = this;
    const queue = this.queue(random.below(3));
    const ring = random.below(2) === 0 ? queue.available : queue.used;
    for (let i = 1 + random.below(8); i > 0; i--) {
      nic.guest.memory.writeU16(gpaOffset(ring, 2 * random.below(queue.size)), random.below(65536));
    }
  }

  private jumpIndex(): void {
    const { random } = this;
    const queue = this.queue(random.below(3));
    const index = this.nic.guest.memory.loadU16(gpaOffset(queue.available, 2));
    queue.setAvailableIndex(index + (random.below(20) === 0 ? random.below(65536) : random.below(4)));
    queue.kick();
  }

  private command(): void {
    const { random, nic } = this;
    const queue = this.queue(2);
    while (queue.takeUsed() !== undefined);
    if (queue.freeCount < 4) return;
    const length = random.below(random.below(10) === 0 ? 9000 : 300);
    const bytes = Uint8Array.from({ length }, (_, i) => random.below(i < 2 ? 3 : 256));
    if (random.below(2) === 0 && length > 6) bytes.set([random.below(60), 0, 0, 0], 2);
    nic.guest.memory.copyIn(this.scratch, bytes);
    const ack =
      random.below(5) === 0 ? [] : [{ at: gpaOffset(this.scratch, 60_000), length: random.below(2) }];
    queue.add([{ at: this.scratch, length }], ack);
    queue.kick();
  }

  private writeRegister(): void {
    const { device } = this.nic;
    const register = this.random.below(REGISTER_END / 4) * 4;
    const value = this.random.below(3) === 0 ? this.random.below(2 ** 32) : this.random.below(16);
    device.writeRegister(register, value);
    device.readRegister(this.random.below(REGISTER_END / 4) * 4);
  }

  private kickAll(): void {
    for (const queue of this.nic.device.queues) queue.kick();
  }

  private queue(index: number) {
    return this.nic.device.queues[index] as FakeNic['receiveQueue'];
  }

  private target(): number {
    const { random, victims, nic } = this;
    return [
      ...victims,
      nic.mac,
      0xffffffffffff,
      0x01005e000000 + random.below(8),
      0x540000000000 + random.below(5000),
    ][random.below(victims.length + 4)] as number;
  }

  private buffer(): { at: Gpa; length: number } {
    return { at: gpaOffset(this.scratch, this.random.below(60_000)), length: 1 + this.random.below(5000) };
  }

  /** In RAM, at its edges, beyond, far beyond. */
  private address(): Gpa {
    const { random, nic } = this;
    const { length } = nic.guest.ram;
    const choices = [
      random.below(length),
      length - random.below(100),
      length,
      0,
      3 * 2 ** 30,
      2 ** 40,
      2 ** 53,
      2 ** 64 - 2048,
    ];
    return gpa(choices[random.below(choices.length)] as number);
  }

  private length(): number {
    const { random } = this;
    return [0, 1, 11, 12, 26, 2048, random.below(100_000), 2 ** 31, 2 ** 32 - 1][random.below(9)] as number;
  }
}
