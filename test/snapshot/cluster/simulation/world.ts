import { freshState, wire } from './cluster.ts';
import { ControlPlane, failure, type SimulatedSnapshot } from './control.ts';
import { EventQueue } from './events.ts';
import { Oracle } from './oracle.ts';
import { Participant } from './participant.ts';
import { Random } from './random.ts';
import type { Rules } from './rules.ts';
import { type Fault, isStrict, type Scenario } from './scenario.ts';
import { SimulatedSwitch, type SwitchPort } from './switch.ts';
import { Violation } from './violation.ts';
import { type Body, copyVmState, gossip, receive, retransmit, say, type VmState } from './vm.ts';

export interface WorldOptions {
  readonly from?: SimulatedSnapshot;
  readonly isTracing?: boolean;
  /** Publishes unseen: then only the restored VMs themselves can find an inconsistent cut. */
  readonly isBlind?: boolean;
}

const RETRANSMIT_US = 4_000;
/** How long attempts may go on in a bad network after nobody says anything new. */
const HEALING_US = 30_000;
/** Far beyond what a sound run needs: one that gets here does not end. */
const MAXIMUM_STEPS = 300_000;

/** One run: VMs that talk, the switch, the control plane; every delay drawn from the seed. */
export class World {
  readonly trace: string[] = [];
  readonly counts = { receivedFrame: 0, askedForCut: 0, fullQueue: 0 };
  readonly events: EventQueue;
  readonly random: Random;
  readonly scenario: Scenario;
  readonly rules: Rules;
  readonly oracle: Oracle;
  readonly control: ControlPlane;
  private readonly network: SimulatedSwitch;
  private readonly participants: readonly Participant[];
  private readonly present: Set<number>;
  private readonly startEpoch: number;
  private readonly end_us: number;
  private readonly isTracing: boolean;
  private readonly isStrict: boolean;
  private hasCrashed = false;

  constructor(scenario: Scenario, rules: Rules, { from, isTracing = false, isBlind = false }: WorldOptions) {
    this.scenario = scenario;
    this.rules = rules;
    this.isTracing = isTracing;
    this.isStrict = isStrict(scenario);
    this.startEpoch = from?.epoch ?? 0;
    this.events = new EventQueue(from?.at_us ?? 0);
    this.end_us = this.events.now_us + scenario.duration_us;
    this.random = new Random(scenario.seed ^ (this.startEpoch << 16));
    this.oracle = new Oracle(scenario.isFifo);
    const vms = Array.from({ length: scenario.vmCount }, (_, vm) => vm);
    const joinsLater = (vm: number) => scenario.joins.some(join => join.vm === vm);
    this.present = new Set(vms.filter(vm => from?.states.has(vm) ?? !joinsLater(vm)));
    this.control = new ControlPlane(this, { epoch: this.startEpoch, vms: [...this.present], isBlind });
    this.participants = vms.map(vm => this.createParticipant(vm, from?.states.get(vm)));
    this.network = this.createSwitch();
    const admit = (vm: number, epoch: number) => this.admit(vm, epoch);
    this.control.connect({ network: this.network, participants: this.participants, admit });
    if (from !== undefined) this.reload(from);
  }

  /** Runs it to its end; throws a Violation when a promise is broken on the way or then. */
  run(): void {
    this.plan();
    for (let steps = 0; this.events.step(); steps++) {
      if (this.hasCrashed) return;
      if (steps > MAXIMUM_STEPS) throw new Violation('the run does not come to its end');
    }
    this.checkEnd();
  }

  note(text: () => string): void {
    if (this.isTracing) this.trace.push(`${String(this.events.now_us).padStart(7)} ${text()}`);
  }

  private createParticipant(vm: number, saved: VmState | undefined): Participant {
    const state = saved === undefined ? freshState(this.scenario, vm) : copyVmState(saved);
    return new Participant(vm, state, {
      events: this.events,
      random: this.random,
      scenario: this.scenario,
      has: (kind, epoch, ofVm) => this.control.has(kind, epoch, ofVm),
      pause: ofVm => this.pause(ofVm),
      cross: (ofVm, epoch) => this.cross(ofVm, epoch),
      resume: ofVm => this.network.unlock(ofVm),
      reply: input => this.control.tell(input),
    });
  }

  private createSwitch(): SimulatedSwitch {
    const ports = wire(this.scenario, this.participants, vm => this.present.has(vm));
    const network = new SimulatedSwitch(ports, this, {
      receive: (port, frame) => this.receive(port, frame.body),
      newerMarker: (port, epoch) => {
        this.counts.askedForCut++;
        this.control.tell({ kind: 'newer-marker', epoch, vm: vmOf(port) });
      },
      heldFull: (port, epoch) => {
        this.counts.fullQueue++;
        this.control.tell({ kind: 'held-full', epoch, vm: vmOf(port) });
      },
      note: text => this.note(text),
    });
    for (const port of network.ports) if (port.vm >= 0) network.epochs.assign(port.index, this.startEpoch);
    return network;
  }

  /** All VMs are loaded and the recorded frames lie before their ports; only then anybody runs. */
  private reload({ frames }: SimulatedSnapshot): void {
    const port = (name: string) =>
      this.network.ports.find(candidate => candidate.name === name) as SwitchPort;
    for (const { sender, receiver, body } of frames) {
      this.network.preload(port(sender), port(receiver), body);
    }
    this.network.serviceAll();
  }

  private plan(): void {
    const { requests, faults, joins, hasOutside, mode } = this.scenario;
    const start_us = this.events.now_us;
    for (const vm of this.present) this.start(vm);
    if (hasOutside) this.outsideTraffic();
    this.events.at(this.end_us + HEALING_US, () => this.network.heal());
    // In the order of their ids, as the clients of one coordinator get them.
    const times = requests.map(({ at_us }) => start_us + at_us).sort((a, b) => a - b);
    requests.forEach(({ timeout_us }, id) => {
      const request = { id, name: `s${id}`, mode, timeout_us };
      const ask = () => this.control.feed({ kind: 'snapshot-requested', request });
      this.control.expectAnswer(id);
      this.events.at(times[id] as number, ask);
      if (this.random.chance(this.scenario.duplicateShare)) this.events.at((times[id] as number) + 1, ask);
    });
    for (const { vm, at_us } of joins) {
      if (this.present.has(vm)) continue;
      this.events.at(start_us + at_us, () => this.control.feed({ kind: 'vm-joining', vm: `vm${vm}` }));
    }
    for (const fault of faults) {
      if ('at_us' in fault) this.events.at(start_us + fault.at_us, () => this.strike(fault));
    }
  }

  private strike(fault: Extract<Fault, { at_us: number }>): void {
    this.note(() => JSON.stringify(fault));
    if (fault.kind === 'process-dies') this.hasCrashed = true;
    else if (fault.kind === 'abort-requested') {
      this.control.feed({ kind: 'abort-requested', id: fault.request });
    } else if (fault.kind === 'vm-dies') this.kill(fault.vm);
    else if (this.control.isSwitchAlive) {
      this.control.isSwitchAlive = false;
      this.network.die();
      this.control.tell({ kind: 'switch-died', failure });
    }
  }

  /** It stops at once; its ports are unplugged when the coordinator knows. */
  private kill(vm: number): void {
    if (!this.isReachable(vm)) return;
    this.participant(vm).die();
    this.network.lock(vm);
    this.events.after(this.random.between(1, this.scenario.commandDelay_us), () => {
      this.control.feed({ kind: 'vm-left', vm: `vm${vm}`, failure });
      this.network.unplug(vm);
    });
  }

  private admit(vm: number, epoch: number): void {
    if (this.present.has(vm)) return;
    this.present.add(vm);
    for (const port of this.network.portsOf(vm)) {
      this.network.epochs.assign(port.index, epoch);
      port.isPlugged = true;
    }
    this.start(vm);
    this.control.tell({ kind: 'vm-joined', vm: `vm${vm}` });
  }

  private start(vm: number): void {
    this.traffic(vm);
    this.kick(vm);
    if (!this.isStrict) this.timers(vm);
  }

  private pause(vm: number): void {
    if (this.rules.locksWhilePaused) this.network.lock(vm);
    else this.control.take(vm, this.control.attemptEpoch);
  }

  private cross(vm: number, epoch: number): void {
    this.note(() => `vm${vm} crosses into ${epoch}`);
    if (this.rules.locksWhilePaused) this.control.take(vm, epoch);
    this.network.portsOf(vm).forEach((port, index) => {
      const raise = () => this.network.epochs.raise(port.index, epoch);
      const isNow = this.rules.crossesAtCut && (index === 0 || this.rules.crossesAllPorts);
      if (isNow) raise();
      else this.events.after(2 * this.scenario.pause_us, raise);
    });
  }

  private receive(port: SwitchPort, body: Body): void {
    this.counts.receivedFrame++;
    if (port.vm < 0) return;
    receive(this.participant(port.vm).state, port.vm, port.nic, body, this.isStrict);
    this.network.kick(port);
  }

  private traffic(vm: number): void {
    this.events.after(this.random.between(1, 2 * this.scenario.sendEvery_us), () => {
      if (this.events.now_us >= this.end_us || !this.isReachable(vm)) return;
      if (!this.participant(vm).isPaused) this.act(vm);
      this.traffic(vm);
    });
  }

  private act(vm: number): void {
    const { state } = this.participant(vm);
    const { random, events } = this;
    const talks = state.conversations.filter(({ peer }) => this.isReachable(peer));
    if (random.chance(this.scenario.gossipShare)) {
      gossip(state, vm, random.between(0, state.tx.length - 1), events.now_us);
    } else if (this.scenario.hasOutside && random.chance(0.1)) {
      state.tx[0]?.push({ kind: 'foreign', value: state.hash });
    } else if (talks.length > 0) say(state, vm, random.pick(talks), events.now_us);
    this.kick(vm);
  }

  /** Retransmission timers; they stop when there is nothing left to say. */
  private timers(vm: number): void {
    this.events.after(RETRANSMIT_US, () => {
      const { state, isPaused } = this.participant(vm);
      const isReachable = (peer: number) => this.isReachable(peer);
      const isOwed = state.conversations.some(({ unacked, peer }) => unacked.length > 0 && isReachable(peer));
      if (!this.isReachable(vm) || !this.control.isSwitchAlive) return;
      if (!isOwed && this.events.now_us > this.end_us) return;
      if (!isPaused && state.tx.every(ring => ring.length === 0)) retransmit(state, vm, isReachable);
      this.kick(vm);
      this.timers(vm);
    });
  }

  private outsideTraffic(): void {
    this.events.after(this.random.between(1, 2 * this.scenario.sendEvery_us), () => {
      if (this.events.now_us >= this.end_us || !this.control.isSwitchAlive) return;
      const outside = this.network.ports.at(-1) as SwitchPort;
      const receivers = this.network.ports.filter(
        port => port.vm >= 0 && port.network === 0 && port.isPlugged,
      );
      const body = { kind: 'foreign', value: this.events.now_us } as const;
      if (receivers.length > 0) this.network.send(outside, body, [this.random.pick(receivers)]);
      this.outsideTraffic();
    });
  }

  private checkEnd(): void {
    this.control.checkEnd();
    const busy = this.participants.find(participant => participant.isAlive && !participant.isAtRest);
    if (busy !== undefined) throw new Violation(`${busy.name} is not at rest`);
    if (!this.control.isSwitchAlive) return;
    if (!this.network.isEmpty) throw new Violation('frames are left in the switch');
    this.oracle.checkNothingForgotten();
    if (this.scenario.mode === 'hold') this.oracle.checkNothingDropped();
    for (const { vm, state } of this.participants)
      if (this.isReachable(vm)) this.checkConversations(vm, state);
  }

  /** What was said is what was heard, to the last word. */
  private checkConversations(vm: number, state: VmState): void {
    for (const said of state.conversations) {
      if (!this.isReachable(said.peer)) continue;
      const heard = this.participant(said.peer).state.conversations.find(({ peer }) => peer === vm);
      if (heard?.expected !== said.sent || heard.receivedDigest !== said.sentDigest) {
        throw new Violation(`vm${said.peer} heard something else than vm${vm} said`);
      }
    }
  }

  private kick(vm: number): void {
    for (const port of this.network.portsOf(vm)) this.network.kick(port);
  }

  private isReachable(vm: number): boolean {
    return this.present.has(vm) && this.participant(vm).isAlive;
  }

  private participant(vm: number): Participant {
    return this.participants[vm] as Participant;
  }
}

/** The VM in the name of a port. */
const vmOf = (port: string) => port.slice(0, port.indexOf('/'));
