import { isGroup } from './mac.ts';

interface Entry<Port> {
  port: Port;
  seen_us: number;
  /** From the cluster file: never moves, never ages. */
  readonly fixed: boolean;
}

export interface MacTableOptions {
  readonly capacity: number;
  /** No port may fill the table alone. */
  readonly capacityPerPort: number;
  readonly ageing_us: number;
}

const SWEEP_INTERVAL_US = 1_000_000;
/** An entry's age need not be exact: it is noted this often. */
const REFRESH_INTERVAL_US = 1_000_000;

/** What a table last said to somebody who asks much the same for every frame. */
export class Recent<Port> {
  mac = -1;
  port: Port | undefined;
  generation = -1;
  time_us = 0;

  holds(mac: number, generation: number, now_us: number): boolean {
    return mac === this.mac && generation === this.generation && now_us - this.time_us < REFRESH_INTERVAL_US;
  }

  note(mac: number, port: Port | undefined, generation: number, now_us: number): void {
    this.mac = mac;
    this.port = port;
    this.generation = generation;
    this.time_us = now_us;
  }
}

/**
 * Where addresses live, as a bridge learns it (IEEE 802.1Q section 8.8): from the source addresses of frames,
 * forgotten after a while, bounded. Entries are made for new addresses only, so the common case allocates nothing.
 */
export class MacTable<Port> {
  /** Grows when an address has moved, gone or come: what callers remembered may be wrong then. */
  generation = 0;
  private readonly entries = new Map<number, Entry<Port>>();
  private readonly learned = new Map<Port, number>();
  private readonly options: MacTableOptions;
  private swept_us = 0;

  constructor(options: MacTableOptions) {
    this.options = options;
  }

  get size(): number {
    return this.entries.size;
  }

  /** Fixes an address to a port. False when it is fixed to another one already. */
  fix(mac: number, port: Port): boolean {
    const known = this.entries.get(mac);
    if (known?.fixed) return known.port === port;
    if (known !== undefined) this.remove(mac, known);
    this.entries.set(mac, { port, seen_us: 0, fixed: true });
    this.generation++;
    return true;
  }

  unfix(mac: number, port: Port): void {
    const known = this.entries.get(mac);
    if (known?.fixed && known.port === port) this.remove(mac, known);
  }

  /** Notes that `mac` sent through `port`. False when the table has no room for it. */
  learn(mac: number, port: Port, now_us: number): boolean {
    if (isGroup(mac)) return true;
    const known = this.entries.get(mac);
    if (known === undefined) return this.add(mac, port, now_us);
    if (known.fixed) return true;
    known.seen_us = now_us;
    if (known.port !== port) this.move(known, port);
    return true;
  }

  /** The port behind which `mac` is, or undefined when that is not known. */
  find(mac: number, now_us: number): Port | undefined {
    const known = this.entries.get(mac);
    if (known === undefined) return undefined;
    if (!known.fixed && now_us - known.seen_us > this.options.ageing_us) {
      this.remove(mac, known);
      return undefined;
    }
    return known.port;
  }

  /** Forgets all that is behind `port`. */
  forget(port: Port): void {
    for (const [mac, entry] of this.entries) {
      if (entry.port === port) this.remove(mac, entry);
    }
    this.learned.delete(port);
  }

  /** As learn(), for one port, whose frames mostly have the same source. */
  learnAgain(recent: Recent<Port>, mac: number, port: Port, now_us: number): boolean {
    if (recent.holds(mac, this.generation, now_us)) return true;
    if (!this.learn(mac, port, now_us)) return false;
    recent.note(mac, port, this.generation, now_us);
    return true;
  }

  /** As find(), for one port, whose frames mostly have the same destination. */
  findAgain(recent: Recent<Port>, mac: number, now_us: number): Port | undefined {
    if (recent.holds(mac, this.generation, now_us)) return recent.port;
    const port = this.find(mac, now_us);
    recent.note(mac, port, this.generation, now_us);
    return port;
  }

  private add(mac: number, port: Port, now_us: number): boolean {
    if (this.isFullFor(port)) this.sweep(now_us);
    if (this.isFullFor(port)) return false;
    this.entries.set(mac, { port, seen_us: now_us, fixed: false });
    this.count(port, 1);
    this.generation++;
    return true;
  }

  private move(entry: Entry<Port>, port: Port): void {
    this.count(entry.port, -1);
    this.count(port, 1);
    entry.port = port;
    this.generation++;
  }

  private remove(mac: number, entry: Entry<Port>): void {
    this.entries.delete(mac);
    if (!entry.fixed) this.count(entry.port, -1);
    this.generation++;
  }

  private isFullFor(port: Port): boolean {
    const { capacity, capacityPerPort } = this.options;
    return this.entries.size >= capacity || (this.learned.get(port) ?? 0) >= capacityPerPort;
  }

  private sweep(now_us: number): void {
    if (now_us - this.swept_us < SWEEP_INTERVAL_US) return;
    this.swept_us = now_us;
    for (const [mac, entry] of this.entries) {
      if (!entry.fixed && now_us - entry.seen_us > this.options.ageing_us) this.remove(mac, entry);
    }
  }

  private count(port: Port, by: number): void {
    this.learned.set(port, (this.learned.get(port) ?? 0) + by);
  }
}
