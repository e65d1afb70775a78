import { EventEmitter } from 'node:events';
import { guestCpuid } from './arch/x86_64/cpuid.ts';
import { stateMsrs } from './arch/x86_64/msrs.ts';
import { load } from './boot/boot.ts';
import { createUart, type PlatformDescriptor } from './devices/platform.ts';
import type { DevicePlug } from './devices/plug.ts';
import type { PowerAction } from './devices/power.ts';
import { SerialState } from './devices/serial/state.ts';
import { COM1, type Uart } from './devices/serial/uart.ts';
import { QUEUE_NOTIFY_OFFSET } from './devices/virtio/mmio.ts';
import { slotCmdline, slotPlace, type VirtioSlot } from './devices/virtio/slot.ts';
import { VirtioState } from './devices/virtio/state.ts';
import type { TsvmmError } from './errors.ts';
import { closeEventFd, createEventFd } from './io/eventfd.ts';
import type { Kvm } from './kvm/kvm.ts';
import type { Vcpu } from './kvm/vcpu.ts';
import type { Vm } from './kvm/vm.ts';
import { hvaOffset } from './memory/address.ts';
import { CopyOnWrite } from './memory/copy-on-write.ts';
import { GuestMemory } from './memory/guest-memory.ts';
import { ramRegions } from './memory/layout.ts';
import { allocateNative, type NativeMemory } from './memory/native.ts';
import { allocateRam, type Ram, type RamDescriptor } from './memory/ram.ts';
import { Teardown } from './teardown.ts';
import type { VcpuCounters } from './vcpu/control-block.ts';
import { installKickSignal } from './vcpu/kick.ts';
import { SLAB_SIZE, VcpuSlab } from './vcpu/slab.ts';
import { VcpuHandle } from './vcpu/vcpu-handle.ts';

export interface MachineConfig {
  readonly name: string;
  /** ELF executable with a PVH entry. */
  readonly imagePath: string;
  /** The guest's command line; the words that announce devices are appended. */
  readonly cmdline: string;
  /** A multiple of 2 MiB. */
  readonly memory_bytes: number;
  readonly vcpus: number;
  /** Back RAM with transparent huge pages (default true). */
  readonly hugePages?: boolean;
  readonly devices: readonly DevicePlug[];
  /** Threads started ahead of time, to be used for the vCPUs. */
  readonly threads?: readonly VcpuHandle[];
}

export type MachineExit =
  | { readonly kind: PowerAction }
  | { readonly kind: 'error'; readonly error: TsvmmError };
export type MachineState = 'created' | 'running' | 'paused' | 'stopped';

export interface MachineStats {
  readonly vcpus: readonly VcpuCounters[];
  readonly consoleDroppedBytes: number;
}

interface MachineEvents {
  /** Bytes that the guest wrote to its console. */
  console: [Uint8Array];
  /** The guest ended itself or cannot go on; stop() is still due. */
  exit: [MachineExit];
}

/** A guest may leave its last console bytes in the coalescing ring; they are fetched this late at most. */
const CONSOLE_POLL_MS = 200;

/**
 * One virtual machine. create() composes it in phases (VM, memory, devices, vCPUs, software), each of which leaves
 * its undoing behind; stop() runs these in reverse.
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
  private readonly uart: Uart;
  private readonly teardown: Teardown;
  private currentState: MachineState = 'created';
  private exitSeen = false;
  private stopping: Promise<void> | undefined;
  private consoleTimer: NodeJS.Timeout | undefined;
  private pendingInput: Uint8Array[] = [];

  /** Throws the coded errors of its phases, with nothing left behind. */
  static async create(kvm: Kvm, config: MachineConfig): Promise<Machine> {
    const teardown = new Teardown();
    try {
      return await Machine.compose(kvm, config, teardown);
    } catch (error) {
      await teardown.run().catch(() => {});
      throw error;
    }
  }

  private static async compose(kvm: Kvm, config: MachineConfig, teardown: Teardown): Promise<Machine> {
    // Threads take longest to start, so they come first and load while the rest is built.
    const threads = Array.from({ length: config.vcpus }, (_, i) => config.threads?.[i] ?? new VcpuHandle());
    for (const thread of threads) thread.once('error', () => {});

    const vm = kvm.createVm();
    teardown.add(() => vm.close());
    vm.createInterruptControllers();

    const ram = allocateRam(config.memory_bytes, { hugePages: config.hugePages ?? true });
    teardown.add(() => ram.free());
    const memory = new GuestMemory(ram);

    const vcpus = threads.map((_, id) => {
      const vcpu = vm.createVcpu(id);
      teardown.add(() => vcpu.close());
      return vcpu;
    });
    const slabMemory = allocateNative(SLAB_SIZE * threads.length);
    teardown.add(() => slabMemory.free());
    const endThreads = async () => void (await Promise.all(threads.map(thread => thread.end())));
    teardown.add(endThreads);
    setCpuid(kvm, vcpus);
    // Asked for now, as a vCPU that runs keeps its file descriptor to itself.
    stateMsrs(kvm, vcpus[0] as Vcpu);

    const slots = createSlots(vm, config, teardown);
    for (const [i, plug] of config.devices.entries()) {
      await plug.attach((slots[i] as VirtioSlot).attachment, describe(ram));
      teardown.add(() => plug.detach());
    }

    const cmdline = [config.cmdline, ...slots.map(slotCmdline)].filter(word => word !== '').join(' ');
    const boot = load({ imagePath: config.imagePath, cmdline }, memory);
    boot.setUp(vcpus[0] as Vcpu);

    // Right after KVM_CREATE_VM the kernel takes milliseconds for the first region, later microseconds.
    for (const [slot, { start, length, ramOffset }] of ramRegions(ram.length).entries()) {
      vm.setMemoryRegion(slot, start, length, (ram.address + ramOffset) as typeof ram.address);
    }
    // Idempotent, so once more at the top: nothing that the guest uses may go while it runs.
    teardown.add(endThreads);
    return new Machine(kvm, config, { vm, ram, memory, slots, vcpus, threads, slabMemory, teardown });
  }

  private constructor(
    kvm: Kvm,
    config: MachineConfig,
    parts: Pick<Machine, 'vm' | 'ram' | 'memory' | 'slots' | 'vcpus'> & {
      threads: readonly VcpuHandle[];
      slabMemory: NativeMemory;
      teardown: Teardown;
    },
  ) {
    super();
    this.kvm = kvm;
    this.config = config;
    this.vm = parts.vm;
    this.ram = parts.ram;
    this.memory = parts.memory;
    this.slots = parts.slots;
    this.vcpus = parts.vcpus;
    this.threads = parts.threads;
    this.teardown = parts.teardown;

    const platform: PlatformDescriptor = {
      serial: SerialState.allocate(),
      virtio: parts.slots,
      coalescedPio: kvm.check('COALESCED_PIO') > 0,
    };
    this.serial = new SerialState(platform.serial);
    this.uart = createUart(platform, parts.vm, {
      outputReady: () => this.fetchConsole(),
      awaitRoom: () => {},
    });
    if (platform.coalescedPio) {
      parts.vm.coalescePort(COM1.port, true);
      this.serial.coalescing = true;
    }
    const slabOf = (id: number) => hvaOffset(parts.slabMemory.address, SLAB_SIZE * id);
    this.slabs = this.threads.map((_, id) => new VcpuSlab(slabOf(id)));
    const msrs = stateMsrs(kvm, parts.vcpus[0] as Vcpu);
    for (const slab of this.slabs) slab.prepare(msrs);
    this.cow = new CopyOnWrite(parts.ram.cow, parts.ram.address, parts.ram.length);
    for (const [id, thread] of this.threads.entries()) {
      thread.assign(parts.vcpus[id] as Vcpu, {
        vmFd: parts.vm.fd,
        ram: describe(parts.ram),
        platform,
        slab: slabOf(id),
      });
      thread.on('output', () => this.fetchConsole());
      thread.on('power', kind => this.guestEnded({ kind }));
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
    this.consoleTimer = setInterval(() => this.fetchConsole(), CONSOLE_POLL_MS);
    this.consoleTimer.unref();
    this.run();
  }

  /** Resolves when no vCPU runs. */
  async pause(): Promise<void> {
    if (this.currentState !== 'running') return;
    this.currentState = 'paused';
    for (const thread of this.threads) thread.park();
    await Promise.all(this.threads.map(thread => thread.parked()));
  }

  resume(): void {
    if (this.currentState === 'paused') this.run();
  }

  /** Ends the guest and gives everything back. Idempotent; allowed in every state. */
  stop(): Promise<void> {
    this.stopping ??= this.tearDown();
    return this.stopping;
  }

  /** Types on the guest's console. Bytes wait until the port takes them. */
  consoleInput(bytes: Uint8Array): void {
    this.pendingInput.push(bytes);
    this.feedInput();
  }

  private run(): void {
    this.currentState = 'running';
    for (const thread of this.threads) thread.run();
  }

  private async tearDown(): Promise<void> {
    clearInterval(this.consoleTimer);
    this.currentState = 'stopped';
    await this.teardown.run();
    this.fetchConsole();
  }

  private guestEnded(exit: MachineExit): void {
    if (this.exitSeen) return;
    this.exitSeen = true;
    this.fetchConsole();
    this.emit('exit', exit);
  }

  private fetchConsole(): void {
    const { output } = this.serial;
    output.clearSignal();
    if (output.length > 0) this.emit('console', output.drain());
    if (this.pendingInput.length > 0) this.feedInput();
  }

  private feedInput(): void {
    for (let next = this.pendingInput[0]; next !== undefined; next = this.pendingInput[0]) {
      const taken = this.uart.tryReceive(next);
      if (taken < next.length) {
        this.pendingInput[0] = next.subarray(taken);
        return;
      }
      this.pendingInput.shift();
    }
  }
}

const describe = ({ address, length, cow }: Ram): RamDescriptor => ({ address, length, cow });

function setCpuid(kvm: Kvm, vcpus: readonly Vcpu[]): void {
  const supported = kvm.supportedCpuid();
  const tscDeadlineTimer = kvm.check('TSC_DEADLINE_TIMER') > 0;
  const tsc_khz = (vcpus[0] as Vcpu).tsc_khz;
  for (const vcpu of vcpus) {
    vcpu.setCpuid(
      guestCpuid(supported, { vcpuId: vcpu.id, vcpuCount: vcpus.length, tsc_khz, tscDeadlineTimer }),
    );
  }
}

/** Shared state, notifications and interrupts of each device. */
function createSlots(vm: Vm, { name, devices }: MachineConfig, teardown: Teardown): VirtioSlot[] {
  const eventFd = () => {
    const fd = createEventFd();
    teardown.add(() => closeEventFd(fd));
    return fd;
  };
  return devices.map((plug, index) => {
    const { base, irq } = slotPlace(index);
    const queueEventFds = plug.model.queueSizes.map(eventFd);
    const interruptEventFd = eventFd();
    for (const [queue, fd] of queueEventFds.entries()) {
      vm.addIoEventFd(fd, { address: base + QUEUE_NOTIFY_OFFSET, length: 4, match: queue });
    }
    vm.addIrqFd(interruptEventFd, irq);
    const state = VirtioState.allocate(plug.model);
    return {
      base,
      irq,
      attachment: { name: `${name}/${plug.name}`, model: plug.model, state, queueEventFds, interruptEventFd },
    };
  });
}
