import type { EventEmitter } from 'node:events';
import type { BalloonPlug, ConsolePlug, DevicePlug } from '../../vmm/devices/plug.ts';
import type { ConsoleEnd } from '../../vmm/devices/virtio/console/console-end.ts';
import type { MachineEvents, MachineState, MachineStats } from '../../vmm/machine.ts';
import type { ResolvedCluster, ResolvedDisk, ResolvedVm } from '../config/resolved.ts';

/** What a cluster asks of a machine; vmm/machine.ts is one. */
export interface ClusterMachine extends EventEmitter<MachineEvents> {
  readonly state: MachineState;
  readonly stats: MachineStats;
  /** Who saved memory in the latest snapshot. */
  readonly cow?: { readonly state: { readonly counters: Readonly<Record<string, number>> } };
  start(): void;
  pause(): Promise<void>;
  resume(): void;
  stop(): Promise<void>;
  /** False asks for no more before the event `inputTaken`. */
  consoleInput(bytes: Uint8Array): boolean;
  /** False for a guest that has none. */
  pressPowerButton(): boolean;
  /** The guest has not looked at the button yet. */
  readonly powerButtonUnseen: boolean;
  resizeConsole(columns: number, rows: number): void;
}

/** What a VM boots from. */
export interface BootFiles {
  readonly kernel: string;
  readonly initrd?: string;
  /** Words that come before those of the cluster file. */
  readonly cmdline?: string;
  /** The image's own disk, before those of the cluster file. */
  readonly disk?: ResolvedDisk;
}

/** What a machine is made of. */
export interface MachineRecipe {
  readonly name: string;
  /** The kernel or image, and the initial RAM disk. */
  readonly bootFile: string;
  readonly initrd?: string;
  /** A kernel of the user's own finds what it needs in tables, as on a PC. */
  readonly firmwareTables: boolean;
  /** Without the words that announce the machine's devices. */
  readonly cmdline: string;
  readonly memory_bytes: number;
  readonly vcpus: number;
  readonly devices: readonly DevicePlug[];
  /** The one of `devices` that is a console, if there is one. */
  readonly console?: ConsoleEnd;
}

/** The networks of a running cluster. */
export interface ClusterNetworks {
  /** A device for each NIC of the VM, in the order of the file. */
  createNics(vm: ResolvedVm): Promise<readonly DevicePlug[]>;
  /** Counters for `tsvmm stats`, by network. */
  stats(): Readonly<Record<string, unknown>>;
  /** Removes taps and ends threads; the machines have been stopped. */
  close(): Promise<void>;
}

/** The disks of a running cluster. */
export interface ClusterDisks {
  /** A device for each disk of the VM, in the order of the file. */
  createDisks(vm: ResolvedVm): Promise<readonly DevicePlug[]>;
  /** Counters for `tsvmm stats`, by "vm/disk". */
  stats(): Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}

/** What a cluster is composed of. Tests bring their own; open-parts.ts has the real ones. */
export interface ClusterParts {
  createMachine(recipe: MachineRecipe): Promise<ClusterMachine>;
  createRng(): DevicePlug;
  createConsole(): ConsolePlug;
  createBalloon(): BalloonPlug;
  openNetworks(cluster: ResolvedCluster): Promise<ClusterNetworks>;
  openDisks(cluster: ResolvedCluster): Promise<ClusterDisks>;
  /** The files that a VM boots from. Images are built if they are missing. */
  bootFiles(vm: ResolvedVm): Promise<BootFiles>;
}
