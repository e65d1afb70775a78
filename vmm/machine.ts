import { EventEmitter } from 'node:events';
import { type ComposedParts, compose } from './compose.ts';
import { ACPI_EVENT_IRQ, AcpiEvent, type AcpiEvents } from './devices/acpi/events.ts';
import { createUart } from './devices/platform.ts';
import type { DevicePlug } from './devices/plug.ts';
import type { PowerAction } from './devices/power.ts';
import type { CmosState } from './devices/rtc/cmos.ts';
import type { SerialState } from './devices/serial/state.ts';
import type { Uart } from './devices/serial/uart.ts';
import type { ConsoleEnd } from './devices/virtio/console/console-end.ts';
import type { VirtioSlot } from './devices/virtio/slot.ts';
import type { TsvmmError } from './errors.ts';
import { CommonInterval } from './io/common-interval.ts';
import { signalEventFd } from './io/eventfd.ts';
import type { Kvm } from './kvm/kvm.ts';
import type { Vcpu } from './kvm/vcpu.ts';
import type { Vm } from './kvm/vm.ts';
import type { MachineSoftware, MachineState } from './machine-parts.ts';
import { CopyOnWrite } from './memory/copy-on-write.ts';
import type { GuestMemory } from './memory/guest-memory.ts';
import type { Ram } from './memory/ram.ts';
import { Teardown } from './teardown.ts';
import { CoalescedRing } from './vcpu/coalesced-ring.ts';
import type { VcpuCounters } from './vcpu/control-block.ts';
import { installKickSignal } from './vcpu/kick.ts';
import { SerialOutput } from './vcpu/serial-output.ts';
import type { VcpuSlab } from './vcpu/slab.ts';
import type { VcpuHandle } from './vcpu/vcpu-handle.ts';

export interface MachineConfig {
  readonly name: string;
  /** A kernel: an ELF executable or a bzImage. */
  readonly imagePath: string;
  /** Its initial RAM disk. */
  readonly initrdPath?: string;
  /** Describe the machine in tables too, as kernels other than images of ours want it (default false). */
  readonly firmwareTables?: boolean;
  /** The guest's command line; the words that announce devices are appended. */
  readonly cmdline: string;
  /** Instead of booting: the state of another machine to go on from. */
  readonly restored?: MachineSoftware;
  /** A multiple of 2 MiB. */
  readonly memory_bytes: number;
  readonly vcpus: number;
  /** Back RAM with transparent huge pages (default true). */
  readonly hugePages?: boolean;
  readonly devices: readonly DevicePlug[];
  /** The one of `devices` that is a console, if there is one. */
  readonly console?: ConsoleEnd;
  /** Threads started ahead of time, to be used for the vCPUs. */
  readonly threads?: readonly VcpuHandle[];
}

export type MachineExit =
  | { readonly kind: PowerAction }
  | { readonly kind: 'error'; readonly error: TsvmmError };
export type { MachineState };

export interface MachineStats {
  readonly vcpus: readonly VcpuCounters[];
  readonly consoleDroppedBytes: number;
}

export interface MachineEvents {
  /** Bytes that the guest wrote to its console. */
  console: [Uint8Array];
  /** The guest runs on, but something of it will not work here. */
  warning: [string];
  /** The guest has taken all that was typed. */
  inputTaken: [];
  /** The guest ended itself or cannot go on; stop() is still due. */
  exit: [MachineExit];
}

const MOST_PENDING_INPUT_BYTES = 256 * 1024;
/** Console bytes that the guest left in the coalescing ring are fetched this late at most. */
const consolePoll = new CommonInterval(200);

/**
 * One virtual machine: create() composes it, start() lets it run, stop() gives everything back.
 */
export class Machine extends EventEmitter<MachineEvents> {
  readonly config: MachineConfig;
  readonly kvm: Kvm;
  readonly vm: Vm;
  readonly ram: Ram;
  readonly memory: GuestMemory;
  readonly slots: readonly VirtioSlot[];
  readonly vcpus: readonly Vcpu[];
  readonly threads: readonly VcpuHandle[];
  /** One for each vCPU; see VcpuSlab. */
  readonly slabs: readonly VcpuSlab[];
  readonly cow: CopyOnWrite;
  readonly serial: SerialState;
  readonly cmos: CmosState;
  readonly acpiEvents: AcpiEvents;
  private readonly uart: Uart;
  private readonly serialOutput: SerialOutput;
  private readonly teardown: Teardown;
  private currentState: MachineState = 'created';
  private exitSeen = false;
  private readonly warnings = new Set<string>();
  private stopping: Promise<void> | undefined;
  private endConsolePoll: (() => void) | undefined;
  private pendingInput: Uint8Array[] = [];
  private inputWaits = false;

  /** Throws the coded errors of its phases, with nothing left behind. */
  static async create(kvm: Kvm, config: MachineConfig): Promise<Machine> {
    const teardown = new Teardown();
    try {
      return new Machine(kvm, config, await compose(kvm, config, teardown), teardown);
    } catch (error) {
      await teardown.run().catch(() => {});
      throw error;
    }
  }

  private constructor(kvm: Kvm, config: MachineConfig, parts: ComposedParts, teardown: Teardown) {
    super();
    this.kvm = kvm;
    this.config = config;
    this.vm = parts.vm;
    this.ram = parts.ram;
    this.memory = parts.memory;
    this.slots = parts.slots;
    this.vcpus = parts.vcpus;
    this.serial = parts.serial;
    this.cmos = parts.cmos;
    this.acpiEvents = parts.acpiEvents;
    this.threads = parts.threads;
    this.slabs = parts.slabs;
    this.cow = new CopyOnWrite(parts.ram.cow, parts.ram.address, parts.ram.length);
    this.teardown = teardown;
    this.uart = createUart(parts.platform, parts.vm, { outputReady: () => {}, awaitRoom: () => {} });
    this.serialOutput = new SerialOutput(
      parts.serial,
      new CoalescedRing((parts.vcpus[0] as Vcpu).shared, this.uart),
    );
    if (config.console !== undefined) config.console.onOutput = () => this.fetchConsole();
    for (const thread of this.threads) {
      thread.on('output', () => this.fetchConsole());
      thread.on('power', kind => this.guestEnded({ kind }));
      thread.on('warning', message => this.warn(message));
      thread.on('error', error => this.guestEnded({ kind: 'error', error }));
    }
  }

  get state(): MachineState {
    return this.currentState;
  }

  get stats(): MachineStats {
    return {
      vcpus: this.threads.map(thread => thread.counters),
      consoleDroppedBytes: this.serial.output.droppedBytes,
    };
  }

  /** Lets the guest run, for the first time. */
  start(): void {
    if (this.currentState !== 'created') return;
    installKickSignal();
    this.endConsolePoll = consolePoll.add(() => this.fetchConsole());
    // Not before, as nobody may listen to us yet.
    for (const thread of this.threads) thread.listen();
    const { restored } = this.config;
    restored?.release?.(this);
    if (restored !== undefined) for (const vcpu of this.vcpus) vcpu.noteStandstill();
    this.run();
    if (restored !== undefined) this.stirDevices();
  }

  /** Resolves when no vCPU runs. */
  async pause(): Promise<void> {
    if (this.currentState !== 'running') return;
    this.currentState = 'paused';
    for (const thread of this.threads) thread.park();
    await Promise.all(this.threads.map(thread => thread.parked()));
  }

  resume(): void {
    if (this.currentState !== 'paused') return;
    for (const vcpu of this.vcpus) vcpu.noteStandstill();
    this.run();
  }

  /** Ends the guest and gives everything back. Idempotent; allowed in every state. */
  stop(): Promise<void> {
    this.stopping ??= this.tearDown();
    return this.stopping;
  }

  /** Presses the power button, if the guest has one; whether it powers off is up to it. */
  pressPowerButton(): boolean {
    if (this.currentState !== 'running' || this.exitSeen || !this.config.firmwareTables) return false;
    const line = { set: (level: 0 | 1) => this.vm.setIrqLine(ACPI_EVENT_IRQ, level) };
    this.acpiEvents.raise(AcpiEvent.POWER_BUTTON, line);
    return true;
  }

  /** The power button was pressed, and the guest has not looked: it may have no driver for it. */
  get powerButtonUnseen(): boolean {
    return (this.acpiEvents.pending & AcpiEvent.POWER_BUTTON) !== 0;
  }

  /**
   * Types on the guest's console: the console device when its driver is up, else the serial port. Bytes wait until it
   * takes them. False asks for no more before the event `inputTaken`; who types on all the same may lose it.
   */
  consoleInput(bytes: Uint8Array): boolean {
    const waiting = this.pendingInput.reduce((sum, { length }) => sum + length, 0);
    if (waiting + bytes.length <= MOST_PENDING_INPUT_BYTES) this.pendingInput.push(bytes);
    this.feedInput();
    this.inputWaits = this.pendingInput.length > 0;
    return !this.inputWaits;
  }

  /**
   * For a caller who will block this thread while vCPUs run: what the guest prints meanwhile has room. What it has printed
   * is emitted when the thread is free again.
   */
  makeConsoleRoom(): void {
    this.serialOutput.makeRoom();
  }

  /** Tells the console device, if there is one, how large the terminal's window is. */
  resizeConsole(columns: number, rows: number): void {
    this.config.console?.resize(columns, rows);
  }

  /**
   * Notifications and interrupts that were on their way at a snapshot's cut lay in eventfds, which are in no state. Both
   * sides of a virtqueue stand a needless one (virtio 1.2 section 2.7.7), so all get one.
   */
  private stirDevices(): void {
    for (const { attachment } of this.slots) {
      for (const fd of attachment.queueEventFds) signalEventFd(fd);
      signalEventFd(attachment.interruptEventFd);
    }
  }

  private run(): void {
    this.currentState = 'running';
    for (const thread of this.threads) thread.run();
  }

  private async tearDown(): Promise<void> {
    this.endConsolePoll?.();
    // Whoever hears of what is printed may stop the machine too.
    await Promise.resolve();
    try {
      this.fetchConsole();
    } finally {
      this.currentState = 'stopped';
      await this.teardown.run();
    }
    this.fetchConsole();
  }

  /** Once for all vCPUs. */
  private warn(message: string): void {
    if (this.warnings.has(message)) return;
    this.warnings.add(message);
    this.emit('warning', message);
  }

  private guestEnded(exit: MachineExit): void {
    if (this.exitSeen) return;
    this.exitSeen = true;
    this.fetchConsole();
    this.emit('exit', exit);
  }

  private fetchConsole(): void {
    const withQueued = this.currentState === 'running';
    for (const bytes of this.serialOutput.fetch({ withQueued })) this.emit('console', bytes);
    const written = this.config.console?.takeOutput();
    if (written !== undefined && written.length > 0) this.emit('console', written);
    if (this.pendingInput.length > 0) this.feedInput();
  }

  private feedInput(): void {
    // Then there is nobody to take it, and the descriptors are closed or others have their numbers.
    if (this.currentState === 'stopped') this.pendingInput = [];
    for (let next = this.pendingInput[0]; next !== undefined; next = this.pendingInput[0]) {
      const { console } = this.config;
      const taken = console?.isLive ? console.tryReceive(next) : this.uart.tryReceive(next);
      if (taken < next.length) {
        this.pendingInput[0] = next.subarray(taken);
        return;
      }
      this.pendingInput.shift();
    }
    if (!this.inputWaits) return;
    this.inputWaits = false;
    this.emit('inputTaken');
  }
}
