import type { Frame } from '../vmm/devices/virtio/net/frame.ts';
import { EPOLL } from '../vmm/ffi/libc.ts';
import { Counter, MAXIMUM_PORTS } from './counters.ts';
import { Exchange, RETRY_US } from './exchange.ts';
import { PollWindow } from './poll-window.ts';
import type { NicPort } from './ports/nic-port.ts';
import type { Port } from './ports/port.ts';
import type { TapPort } from './ports/tap-port.ts';
import { DelayLine } from './queues/delay-line.ts';
import { chunkCount, FramePool } from './queues/frame-pool.ts';

/** Turns between two looks at file descriptors and timers. */
const TURNS_PER_ROUND = 16;

/** Chunks of 2 KiB for all frames that wait, of all networks; memory is only touched as it is needed. */
const POOL_CHUNKS = 32 * 1024;
const DELAYED_FRAMES = 32 * 1024;

/** The part of EventLoop that the engine needs. */
export interface Descriptors {
  add(fd: number, handler: () => void, events: number): void;
  remove(fd: number): void;
}

export interface EngineOptions {
  readonly descriptors: Descriptors;
  /** Microseconds from any start, never going back. */
  readonly clock_us: () => number;
  readonly poolChunks?: number;
}

/** Edge-triggered: a notification need not be read back, which saves a system call each. */
const EDGE = EPOLL.IN | EPOLL.ET;

/**
 * Gives each port its turns: those that were notified, found by polling, or due by time, in the order in which they
 * came. One turn is bounded (see Exchange), so no port keeps another waiting for long.
 */
export class Engine {
  readonly exchange: Exchange;
  readonly pool: FramePool;
  readonly delayed = new DelayLine(DELAYED_FRAMES);
  private readonly ports: (Port | undefined)[] = new Array(MAXIMUM_PORTS).fill(undefined);
  /** Names of ports, also of those that are gone: a frame of theirs may still wait somewhere. */
  private readonly names: string[] = [];
  private readonly descriptors: Descriptors;
  private readonly clock_us: () => number;
  /** A ring of the ports that want a turn. Each is in it once at most, so it never overflows. */
  private readonly ready: Port[] = new Array(MAXIMUM_PORTS);
  private readyFirst = 0;
  private readyCount = 0;
  /** Ports that do not notify us, as we poll them. */
  private readonly watched: Port[] = [];
  private readonly window = new PollWindow();
  private asleep = false;
  /** A delayed frame had to wait: all of them do, or it would be overtaken. */
  private delayedUntil_us = 0;
  private readonly makeReady = (port: Port) => this.schedule(port);

  constructor({ descriptors, clock_us, poolChunks = POOL_CHUNKS }: EngineOptions) {
    this.descriptors = descriptors;
    this.clock_us = clock_us;
    this.pool = new FramePool(poolChunks);
    this.exchange = new Exchange(this.pool, port => this.names[port] ?? '');
    this.exchange.watch = port => this.watch(port);
  }

  attachNic(port: NicPort, queueEventFds: readonly number[]): void {
    const [receive, transmit, control] = queueEventFds as [number, number, number];
    const { descriptors } = this;
    const notified = () => {
      port.count(Counter.kicks);
      this.schedule(port);
    };
    descriptors.add(transmit, notified, EDGE);
    descriptors.add(
      receive,
      () => {
        port.isStarved = false;
        notified();
      },
      EDGE,
    );
    descriptors.add(
      control,
      () => {
        port.noteControl();
        notified();
      },
      EDGE,
    );
    this.attach(port);
  }

  attachTap(port: TapPort): void {
    this.descriptors.add(port.fd, () => this.schedule(port), EDGE);
    this.attach(port);
  }

  /** Afterwards nothing of the port is used any more. `fds` are those that it was attached with. */
  detach(port: Port, fds: readonly number[]): void {
    for (const fd of fds) this.descriptors.remove(fd);
    port.isDetached = true;
    port.network.detach(port);
    this.exchange.abandon(port);
    this.delayed.remove(id => {
      if (this.pool.sender(id) !== port.id) return false;
      this.pool.release(id);
      return true;
    });
    if (port.isWatched) this.watched.splice(this.watched.indexOf(port), 1);
    this.ports[port.id] = undefined;
  }

  portAt(id: number): Port | undefined {
    return this.ports[id];
  }

  /**
   * Calls `visit` with each frame that waits anywhere in the switch, and the names of its sender and its receiver; those
   * of one receiver in the order in which it would get them. The frame is good during the call only. For the end of a
   * recording, not for every day.
   */
  visitWaiting(visit: (frame: Frame, sender: string, receiver: string) => void): void {
    const { pool, delayed, exchange } = this;
    const frame = exchange.arrived;
    const show = (id: number, receiver: Port) => {
      pool.load(id, frame);
      visit(frame, this.names[frame.sender] ?? '', receiver.name);
    };
    for (const port of this.ports) {
      for (const queue of port === undefined ? [] : [port.held, port.backlog]) {
        queue.forEach(id => {
          show(id, port as Port);
        });
      }
    }
    delayed.forEach(id => {
      const sender = this.ports[pool.sender(id)] as Port;
      pool.load(id, frame);
      sender.network.receivers(sender, frame, this.clock_us(), port => {
        show(id, port);
      });
    });
  }

  schedule(port: Port): void {
    if (port.isReady || port.isDetached) return;
    port.isReady = true;
    this.ready[(this.readyFirst + this.readyCount++) % MAXIMUM_PORTS] = port;
  }

  /**
   * Does what is due, and as much of it as one round allows. Answers until when the thread may sleep: a time, 0 when
   * it must not, or infinity.
   */
  work(): number {
    const start_us = this.clock_us();
    if (this.asleep) this.window.woke(start_us);
    this.asleep = false;
    this.pollWatched(start_us);
    this.exchange.takeRetries(start_us, this.makeReady);
    let worked = this.deliverDelayed(start_us);
    for (let turns = Math.min(TURNS_PER_ROUND, this.readyCount); turns > 0; turns--) {
      if (this.turn(this.takeReady(), this.clock_us())) worked = true;
    }

    const now_us = this.clock_us();
    this.window.passed(now_us, worked);
    if (this.readyCount > 0 || (this.watched.length > 0 && this.window.isOpen(now_us))) return 0;
    this.stopPolling();
    const delayed_us = Math.max(this.delayed.next_us, this.delayedUntil_us);
    const until_us = Math.min(this.exchange.nextRetry_us, delayed_us);
    if (this.readyCount > 0 || until_us <= now_us) return 0;
    this.asleep = true;
    this.window.slept(now_us);
    return until_us;
  }

  free(): void {
    this.pool.free();
    this.exchange.free();
  }

  private attach(port: Port): void {
    this.ports[port.id] = port;
    this.names[port.id] = port.name;
    port.network.attach(port);
    // What was made available before anybody listened.
    this.schedule(port);
  }

  private takeReady(): Port {
    const port = this.ready[this.readyFirst] as Port;
    this.readyFirst = (this.readyFirst + 1) % MAXIMUM_PORTS;
    this.readyCount--;
    port.isReady = false;
    return port;
  }

  /** True when frames were moved. */
  private turn(port: Port, now_us: number): boolean {
    if (port.isDetached) return false;
    const { exchange } = this;
    port.count(Counter.turns);
    exchange.startTurn(now_us);
    let more = false;
    if (exchange.open(port) === 'entered') {
      exchange.drain(port);
      more = port.transmit(exchange);
    }
    exchange.settle();
    if (more) this.schedule(port);
    return exchange.hasWorked;
  }

  /** Frames whose delay is over go on from the port that sent them. */
  private deliverDelayed(now_us: number): boolean {
    const { delayed, exchange, pool } = this;
    if (delayed.next_us > now_us || this.delayedUntil_us > now_us) return false;
    exchange.startTurn(now_us);
    while (delayed.next_us <= now_us && exchange.hasBudget) {
      const id = delayed.head;
      const sender = this.ports[pool.sender(id)] as Port;
      pool.load(id, exchange.arrived);
      if (!sender.network.forward(sender, exchange.arrived, exchange)) {
        this.delayedUntil_us = now_us + RETRY_US;
        break;
      }
      sender.delayedChunks -= chunkCount(exchange.arrived.length);
      delayed.shift();
      pool.release(id);
    }
    exchange.settle();
    return exchange.hasWorked;
  }

  /** True when the port is polled from now on; it need not notify us. */
  private watch(port: Port): boolean {
    if (!this.window.wantsPorts(this.exchange.now_us)) return false;
    if (!port.isWatched) {
      port.isWatched = true;
      this.watched.push(port);
    }
    return true;
  }

  private pollWatched(now_us: number): void {
    const { watched } = this;
    if (watched.length === 0) return;
    let found = false;
    for (let i = 0; i < watched.length; i++) {
      const port = watched[i] as Port;
      if (port.isReady || port.isBlocked || !port.hasWork) continue;
      found = true;
      port.count(Counter.polls);
      this.schedule(port);
    }
    this.window.polled(now_us, found);
  }

  /** Before sleeping: the watched ports are asked to notify us. One that cannot be asked now is tried again. */
  private stopPolling(): void {
    const { watched, exchange } = this;
    for (let port = watched.pop(); port !== undefined; port = watched.pop()) {
      port.isWatched = false;
      if (exchange.open(port) === 'entered' && port.awaitNotification()) this.schedule(port);
    }
    exchange.settle();
  }
}
