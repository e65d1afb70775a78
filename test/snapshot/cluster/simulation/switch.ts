import type { ChannelState } from '../../../../snapshot/cluster/channel.ts';
import { type FilterModeName, OUTSIDE, Verdict } from '../../../../snapshot/cluster/filter.ts';
import { PortEpochs } from '../../../../snapshot/cluster/port-epochs.ts';
import type { EventQueue } from './events.ts';
import type { MarkerGate } from './marker-gate.ts';
import { FRAME_BYTES, type LinkEnd, type Oracle, type SimulatedFrame } from './oracle.ts';
import type { Random } from './random.ts';
import type { HeldFrames, Rules } from './rules.ts';
import type { Scenario } from './scenario.ts';
import type { Body } from './vm.ts';

export interface SwitchPort extends LinkEnd {
  readonly index: number;
  readonly network: number;
  readonly nic: number;
  readonly held: HeldFrames;
  /** Waits for the device's lock or for buffers; what was held goes before it. */
  readonly backlog: SimulatedFrame[];
  /** The VM's tx ring; undefined for the port to the outside and when the VM is dead. */
  tx: Body[] | undefined;
  isPlugged: boolean;
  /** Its VM is in the pause of a cut. */
  isLocked: boolean;
  /** Has no buffers until then. */
  stalledUntil_us: number;
}

export interface SwitchClients {
  receive(port: SwitchPort, frame: SimulatedFrame): void;
  newerMarker(port: string, epoch: number): void;
  heldFull(port: string, epoch: number): void;
  note(text: () => string): void;
}

/** A model of net's switch: one thread, so that each of its methods happens in one instant. */
export class SimulatedSwitch {
  readonly ports: SwitchPort[];
  readonly epochs: PortEpochs;
  private readonly portsByVm = new Map<number, readonly SwitchPort[]>();
  private readonly delayed = new Set<SimulatedFrame>();
  private readonly lastDue = new Map<object, number>();
  private readonly gate: MarkerGate;
  private isDead = false;
  private readonly scenario: Scenario;
  private readonly rules: Rules;
  private readonly events: EventQueue;
  private readonly random: Random;
  private readonly oracle: Oracle;
  private readonly clients: SwitchClients;
  private lossShare: number;
  private stallShare: number;

  constructor(
    ports: Omit<SwitchPort, 'held' | 'backlog' | 'isLocked' | 'stalledUntil_us'>[],
    world: { scenario: Scenario; rules: Rules; events: EventQueue; random: Random; oracle: Oracle },
    clients: SwitchClients,
  ) {
    this.scenario = world.scenario;
    this.rules = world.rules;
    this.events = world.events;
    this.random = world.random;
    this.oracle = world.oracle;
    this.clients = clients;
    this.gate = this.rules.newGate(clients);
    this.lossShare = world.scenario.lossShare;
    this.stallShare = world.scenario.stallShare;
    this.epochs = new PortEpochs(PortEpochs.allocate(ports.length));
    const limits = {
      frame_count: this.scenario.heldLimit,
      byte_count: this.scenario.heldLimit * FRAME_BYTES,
    };
    this.ports = ports.map(port => ({
      ...port,
      held: this.rules.newHeldQueue(limits),
      backlog: [],
      isLocked: false,
      stalledUntil_us: 0,
    }));
    for (const port of this.ports) if (port.vm < 0) this.epochs.assign(port.index, OUTSIDE);
    for (const port of this.ports) this.portsByVm.set(port.vm, [...this.portsOf(port.vm), port]);
  }

  /** From now on no frame is lost and no receiver is slow, so that everybody can finish what they said. */
  heal(): void {
    this.lossShare = 0;
    this.stallShare = 0;
  }

  /** The NICs of a VM; of -1 the port to the outside. */
  portsOf(vm: number): readonly SwitchPort[] {
    return this.portsByVm.get(vm) ?? [];
  }

  /** The driver has rung the doorbell of a tx ring. */
  kick(port: SwitchPort): void {
    this.events.after(this.random.between(0, 5), () => this.transmit(port));
  }

  send(port: SwitchPort, body: Body, receivers: readonly SwitchPort[]): void {
    const epoch = this.epochs.of(port.index);
    for (const receiver of receivers) {
      const frame = this.oracle.sent(port, receiver, epoch, body);
      this.clients.note(() => `${port.name} sends #${frame.id} to ${receiver.name}, marker ${epoch}`);
      if (this.random.chance(this.lossShare)) this.oracle.lost(frame);
      else this.delay(frame, receiver);
    }
  }

  open(epoch: number, mode: FilterModeName): void {
    this.gate.open(epoch, mode);
  }

  release(vm: number): void {
    for (const port of this.portsOf(vm)) this.service(port);
    this.kickAll();
  }

  /** Undefined: it came too late. */
  drain(epoch: number): ChannelState | undefined {
    const { drains } = this.rules;
    return this.gate.drain(epoch, visit => {
      const show = (frame: SimulatedFrame) => visit(frame, frame.link.sender.name, frame.link.receiver.name);
      for (const port of this.ports) {
        if (drains.held) for (const frame of port.held) show(frame);
        if (drains.backlog) port.backlog.forEach(show);
      }
      if (drains.delayed) this.delayed.forEach(show);
    });
  }

  /** The filter goes off at once; the control side raises the ports' epochs after that, one by one. */
  abort(epoch: number, done: () => void): void {
    if (this.rules.abortEndsHolding && !this.gate.abort(epoch)) return;
    if (this.rules.abortRaisesPorts) {
      for (const port of this.ports) {
        this.events.after(this.random.between(0, 9), () => this.epochs.raise(port.index, epoch));
      }
    }
    if (!this.rules.abortDeliversHeld) for (const port of this.ports) this.discardHeld(port);
    this.events.after(10, () => {
      this.serviceAll();
      this.kickAll();
      done();
    });
  }

  lock(vm: number): void {
    for (const port of this.portsOf(vm)) port.isLocked = true;
  }

  unlock(vm: number): void {
    for (const port of this.portsOf(vm)) {
      port.isLocked = false;
      this.service(port);
      this.kick(port);
    }
  }

  unplug(vm: number): void {
    for (const port of this.portsOf(vm)) {
      port.isPlugged = false;
      port.tx = undefined;
      for (const frame of [...port.held, ...port.backlog]) this.oracle.lost(frame);
      this.discardHeld(port);
      port.backlog.length = 0;
    }
    this.kickAll();
  }

  die(): void {
    this.isDead = true;
  }

  /** Puts a recorded frame before everything else; restores begin with this. */
  preload(sender: SwitchPort, receiver: SwitchPort, body: Body): void {
    const frame = this.oracle.sent(sender, receiver, this.epochs.of(sender.index), body);
    receiver.backlog.push(frame);
  }

  serviceAll(): void {
    for (const port of this.ports) this.service(port);
  }

  get isEmpty(): boolean {
    return (
      this.isDead ||
      (this.delayed.size === 0 &&
        this.ports.every(
          ({ held, backlog, tx }) => held.frameCount + backlog.length + (tx?.length ?? 0) === 0,
        ))
    );
  }

  private transmit(port: SwitchPort): void {
    while (!this.isDead && !port.isLocked && port.tx !== undefined) {
      const [body] = port.tx;
      if (body === undefined) return;
      const receivers = this.receiversOf(port, body);
      // Held frames are never lost: what would not fit stays in the sender's ring until the receiver has cut.
      if (receivers.some(receiver => !this.mayOffer(port, receiver))) return;
      port.tx.shift();
      this.send(port, body, receivers);
    }
  }

  private mayOffer(sender: SwitchPort, receiver: SwitchPort): boolean {
    const verdict = this.gate.verdict(this.epochs.of(sender.index), this.epochs.of(receiver.index));
    if (verdict !== Verdict.hold || receiver.held.accepts(FRAME_BYTES)) return true;
    this.gate.held(receiver.name, true);
    return false;
  }

  private receiversOf(sender: SwitchPort, body: Body): SwitchPort[] {
    const candidates =
      body.kind === 'gossip' ? this.ports : this.portsOf(body.kind === 'talk' ? body.to : -1);
    return candidates.filter(port => port !== sender && port.network === sender.network && port.isPlugged);
  }

  private delay(frame: SimulatedFrame, receiver: SwitchPort): void {
    const { delay_us, isFifo } = this.scenario;
    let due = this.events.now_us + this.random.between(0, delay_us);
    if (isFifo) due = Math.max(due, this.lastDue.get(frame.link) ?? 0);
    this.lastDue.set(frame.link, due);
    this.delayed.add(frame);
    this.events.at(due, () => this.arrive(frame, receiver));
  }

  private arrive(frame: SimulatedFrame, receiver: SwitchPort): void {
    this.delayed.delete(frame);
    if (this.isDead || !receiver.isPlugged || receiver.backlog.length >= this.scenario.backlogLimit) {
      this.oracle.lost(frame);
      return;
    }
    if (!this.rules.judgesAtDelivery) frame.verdict = this.judge(frame, receiver);
    receiver.backlog.push(frame);
    this.service(receiver);
  }

  /** Copies to the receiver what it can take now. */
  private service(port: SwitchPort): void {
    while (!this.isDead && !port.isLocked && port.isPlugged) {
      if (port.stalledUntil_us > this.events.now_us) return;
      const { head } = port.held;
      const isReleased = head !== undefined && this.judge(head, port) !== Verdict.hold;
      const isHeldTurn = isReleased && (this.rules.deliversHeldFirst || port.backlog.length === 0);
      const frame = isHeldTurn ? head : port.backlog[0];
      if (frame === undefined) return;
      const verdict = this.judge(frame, port);
      if (verdict === Verdict.hold && !this.hold(frame, port)) return;
      if (isHeldTurn) port.held.shift();
      else port.backlog.shift();
      if (verdict !== Verdict.hold) this.deliver(frame, port, verdict);
    }
  }

  private judge(frame: SimulatedFrame, port: SwitchPort): Verdict {
    if (frame.verdict !== undefined && frame.verdict !== Verdict.hold) return frame.verdict;
    return this.gate.verdict(frame.epoch, this.epochs.of(port.index));
  }

  private hold(frame: SimulatedFrame, port: SwitchPort): boolean {
    this.clients.note(() => `${port.name} holds #${frame.id}`);
    this.oracle.heldByFilter(frame);
    const isHeld = port.held.push(frame);
    this.gate.held(port.name, !isHeld);
    return isHeld;
  }

  private deliver(frame: SimulatedFrame, port: SwitchPort, verdict: Verdict): void {
    this.clients.note(() => `${port.name} gets #${frame.id}, marker ${frame.epoch}, verdict ${verdict}`);
    if (verdict === Verdict.drop) {
      this.oracle.droppedByFilter(frame);
      return;
    }
    if (verdict === Verdict.record) this.gate.record(frame, frame.link.sender.name, port.name);
    this.oracle.received(frame);
    this.clients.receive(port, frame);
    if (this.random.chance(this.stallShare)) this.stall(port);
  }

  private stall(port: SwitchPort): void {
    port.stalledUntil_us = this.events.now_us + this.random.between(1, this.scenario.stall_us);
    this.events.at(port.stalledUntil_us, () => this.service(port));
  }

  private discardHeld(port: SwitchPort): void {
    while (port.held.frameCount > 0) port.held.shift();
  }

  private kickAll(): void {
    for (const port of this.ports) this.kick(port);
  }
}
