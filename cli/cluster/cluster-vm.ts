import { EventEmitter } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import type { BalloonEnd } from '../../vmm/devices/virtio/balloon/balloon-end.ts';
import { serializeError, TsvmmError } from '../../vmm/errors.ts';
import { publish } from '../../vmm/events.ts';
import type { MachineExit, MachineState, MachineStats } from '../../vmm/machine.ts';
import type { ResolvedVm } from '../config/resolved.ts';
import { type BenchReport, parseBenchReport } from './bench-report.ts';
import type { ClusterMachine } from './parts.ts';
import { VmConsole } from './vm-console.ts';

export interface VmExit {
  readonly reason: MachineExit['kind'];
  /** With the reason 'error'. */
  readonly error?: TsvmmError;
}

interface ClusterVmEvents {
  ready: [];
  warning: [string];
  inputTaken: [];
  exit: [VmExit];
}

/** A guest that has a driver for its power button hears of it at once, even on a busy host. */
const BUTTON_PATIENCE_MS = 2000;
const BUTTON_INTERVAL_MS = 20;

/** The workloads of a bench guest whose last report is kept. */
const MOST_WORKLOADS = 16;

/** One VM of a running cluster: its machine, its console, and how far it got. */
export class ClusterVm extends EventEmitter<ClusterVmEvents> {
  readonly cluster: string;
  readonly config: ResolvedVm;
  readonly console: VmConsole;
  readonly balloon: BalloonEnd | undefined;
  /** The last report of each of its workloads, if it is a bench guest. */
  readonly reports = new Map<string, BenchReport>();
  private readonly machine: ClusterMachine;
  private started_ms = 0;
  private bootTime_ms: number | undefined;
  private fatal: TsvmmError | undefined;
  private currentExit: VmExit | undefined;
  private stopping = false;

  constructor(
    cluster: string,
    config: ResolvedVm,
    { machine, balloon }: { machine: ClusterMachine; balloon?: BalloonEnd | undefined },
    logPath: string,
  ) {
    super();
    this.balloon = balloon;
    this.cluster = cluster;
    this.config = config;
    this.machine = machine;
    this.console = new VmConsole(logPath);
    this.console.on('line', line => this.readLine(line));
    machine.on('console', bytes => this.console.write(bytes));
    machine.on('warning', message => this.warn(message));
    machine.on('inputTaken', () => this.emit('inputTaken'));
    machine.on('exit', exit => this.end(exit));
    this.publishState();
  }

  get name(): string {
    return this.config.name;
  }

  get state(): MachineState {
    return this.machine.state;
  }

  get stats(): MachineStats {
    return this.machine.stats;
  }

  /** Counters of the latest snapshot's copy-on-write: cow_faults, vmm_write_saves, ... */
  get cow(): Readonly<Record<string, number>> {
    return this.machine.cow?.state.counters ?? {};
  }

  /** From start() until the guest had booted; undefined before. */
  get boot_ms(): number | undefined {
    return this.bootTime_ms;
  }

  /** How the guest ended, if it has. */
  get exit(): VmExit | undefined {
    return this.currentExit;
  }

  /** Lets the guest run, for the first time. `booted` says that it had booted before, in a snapshot. */
  start({ booted = false } = {}): void {
    this.started_ms = performance.now();
    this.machine.start();
    this.publishState();
    if (booted) this.becomeReady();
  }

  async pause(): Promise<void> {
    if (this.machine.state !== 'running') return;
    await this.machine.pause();
    this.publishState();
  }

  resume(): void {
    if (this.machine.state !== 'paused') return;
    this.machine.resume();
    this.publishState();
  }

  /** Types on the guest's console. False asks for no more before the event `inputTaken`. */
  type(bytes: Uint8Array): boolean {
    return this.currentExit !== undefined || this.machine.consoleInput(bytes);
  }

  /** The size of the terminal that looks at it. */
  resizeConsole(columns: number, rows: number): void {
    if (this.currentExit === undefined) this.machine.resizeConsole(columns, rows);
  }

  /**
   * Presses the guest's power button and waits for its end, `grace_ms` at most. Resolves earlier for a guest that has
   * no such button, or does not look at it.
   */
  async powerOff(grace_ms: number): Promise<void> {
    if (this.currentExit !== undefined || grace_ms === 0 || !this.machine.pressPowerButton()) return;
    const pressed_ms = performance.now();
    while (this.currentExit === undefined && performance.now() - pressed_ms < grace_ms) {
      const ignored = this.machine.powerButtonUnseen && performance.now() - pressed_ms > BUTTON_PATIENCE_MS;
      if (ignored) return;
      await setTimeout(BUTTON_INTERVAL_MS);
    }
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    if (this.stopping) return this.machine.stop();
    this.stopping = true;
    try {
      await this.machine.stop();
    } finally {
      this.console.close();
      this.publishState();
    }
  }

  /** A bench guest says when it has booted; of any other one, the first line counts. */
  private readLine(line: string): void {
    if (this.config.guest.kind === 'kernel') {
      this.becomeReady();
      return;
    }
    const report = parseBenchReport(line);
    switch (report?.event) {
      case 'ready':
        this.becomeReady();
        return;
      case 'stat': {
        const workload = String(report.workload);
        if (this.reports.has(workload) || this.reports.size < MOST_WORKLOADS)
          this.reports.set(workload, report);
        return;
      }
      case 'fatal':
        this.noteFatal(String(report.why ?? 'it did not say why'));
        return;
    }
  }

  private becomeReady(): void {
    if (this.bootTime_ms !== undefined || this.currentExit !== undefined) return;
    this.bootTime_ms = performance.now() - this.started_ms;
    performance.mark(`${this.name} ready`);
    publish('vm-ready', { cluster: this.cluster, vm: this.name, boot_ms: this.bootTime_ms });
    this.emit('ready');
  }

  private warn(message: string): void {
    publish('vm-warning', { cluster: this.cluster, vm: this.name, message });
    this.emit('warning', message);
  }

  /** The guest powers off after these words: that is not how it ended, but this. */
  private noteFatal(why: string): void {
    this.fatal ??= new TsvmmError('TSVMM_E_GUEST_FATAL', `${this.name}: the guest gave up: ${why}`, {
      hint: `its console tells more: tsvmm logs ${this.cluster}/${this.name}`,
    });
    publish('guest-fatal', { cluster: this.cluster, vm: this.name, why });
    this.end({ kind: 'error', error: this.fatal });
  }

  private end(exit: MachineExit): void {
    if (this.currentExit !== undefined || this.stopping) return;
    const error = exit.kind === 'error' ? nameVm(this.name, exit.error) : undefined;
    this.currentExit = error === undefined ? { reason: exit.kind } : { reason: 'error', error };
    const serialized = error === undefined ? {} : { error: serializeError(error) };
    publish('vm-exit', { cluster: this.cluster, vm: this.name, reason: exit.kind, ...serialized });
    this.emit('exit', this.currentExit);
  }

  private publishState(): void {
    publish('vm-state', { cluster: this.cluster, vm: this.name, state: this.machine.state });
  }
}

/** The same error, whose message begins with the VM it is about. */
export function nameVm(vm: string, error: unknown): TsvmmError {
  const { code, message, hint, details, cause } =
    error instanceof TsvmmError ? error : new TsvmmError('TSVMM_E_INTERNAL', String(error), { cause: error });
  if (message.startsWith(`${vm}: `)) return error as TsvmmError;
  return new TsvmmError(code, `${vm}: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
    ...(cause === undefined ? {} : { cause }),
  });
}
