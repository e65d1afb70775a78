import type { Ipv4Interface } from './addresses.ts';

/** A cluster file with every default filled in and every reference checked: what the rest of the CLI works with. */
export interface ResolvedCluster {
  readonly name: string;
  /** Absolute path of the file it came from. */
  readonly file: string;
  readonly vms: readonly ResolvedVm[];
  readonly networks: readonly ResolvedNetwork[];
}

export interface ResolvedVm {
  readonly name: string;
  readonly guest: ImageGuest | KernelGuest;
  /** 'virtio': there is a console device beside the serial port. */
  readonly console: 'serial' | 'virtio';
  /** Memory can be taken from the guest while it runs. */
  readonly balloon: boolean;
  readonly memory_bytes: number;
  readonly vcpus: number;
  readonly nets: readonly ResolvedNic[];
  readonly disks: readonly ResolvedDisk[];
}

/** One of the images that tsvmm builds. */
export interface ImageGuest {
  readonly kind: 'image';
  readonly image: string;
  /** Packages of the distribution that it is to have. */
  readonly packages: readonly string[];
  /** The words of its command line, before those that tsvmm adds. */
  readonly args: readonly string[];
}

/** A kernel of the user's own. Paths are absolute. */
export interface KernelGuest {
  readonly kind: 'kernel';
  readonly kernel: string;
  readonly initrd?: string;
  readonly cmdline: string;
}

export interface ResolvedNic {
  readonly network: string;
  /** Lower case, colons. */
  readonly mac: string;
  readonly ip?: Ipv4Interface;
  /** What the file says for the NIC, or else for its network. */
  readonly impairment?: Impairment;
}

/** What is done to the frames that a NIC sends. */
export interface Impairment {
  readonly delay_ms: number;
  /** The delay varies by up to this much, either way. */
  readonly jitter_ms: number;
  /** Share of frames lost, 0 to 1. */
  readonly loss: number;
  /** 0: as fast as it goes. */
  readonly rate_mbit: number;
  /** Lets jitter change the order of frames. */
  readonly reorder: boolean;
  /** Same seed, same losses and jitter. */
  readonly seed: number;
}

export interface ResolvedDisk {
  /** Bytes; with a base and no size, the base's. */
  readonly size_bytes: number;
  /** Absolute path of a raw file that is only read. */
  readonly base?: string;
  readonly readonly: boolean;
}

export interface ResolvedNetwork {
  readonly name: string;
  /** Of its NICs and its tap, in bytes. */
  readonly mtu: number;
  readonly tap?: ResolvedTap;
}

/** The TAP device that connects a network to the host. */
export interface ResolvedTap {
  readonly name: string;
  /** The host's own address in the network. */
  readonly address?: Ipv4Interface;
  /** Whether the host's stack may take and give large segments and open checksums. */
  readonly offloads: boolean;
}
