import { statSync } from 'node:fs';
import { join } from 'node:path';
import { imageVariantName } from '../../guest-images/variant-name.ts';
import { DeviceHost } from '../../vmm/devices/device-host.ts';
import type { BalloonPlug, ConsolePlug, DevicePlug } from '../../vmm/devices/plug.ts';
import { Kvm } from '../../vmm/kvm/kvm.ts';
import { Machine } from '../../vmm/machine.ts';
import type { ImageGuest, ResolvedCluster, ResolvedVm } from '../config/resolved.ts';
import { runsDirectory } from '../home/layout.ts';
import { explainTap } from './clone.ts';
import { openDisks, type SnapshotDisks } from './disks.ts';
import { openNetworks, type SnapshotNetworks } from './networks.ts';
import type { BootFiles, ClusterParts, MachineRecipe } from './parts.ts';
import type { RestoreSource } from './restore-source.ts';
import { ThreadsAhead } from './threads-ahead.ts';

/** The real parts: machines on /dev/kvm. */
export class HostParts implements ClusterParts {
  /** By VM name. */
  readonly machines = new Map<string, Machine>();
  private readonly kvm: Kvm;
  private readonly devices = new DeviceHost(error => this.onFailure(error));
  private readonly threads: ThreadsAhead;
  private readonly images = new Map<string, Promise<BootFiles>>();
  private readonly signal: AbortSignal;
  /** The snapshot that the cluster goes on from, instead of booting; to be set before anything is created. */
  restore: RestoreSource | undefined;
  /** Told of a thread that has failed: guests wait for their devices for ever then. */
  onFailure: (error: Error) => void = () => {};
  networks: SnapshotNetworks | undefined;
  disks: SnapshotDisks | undefined;

  /** Takes `threads` over unless it throws: TSVMM_E_KVM_MISSING, TSVMM_E_KVM_PERMISSION, TSVMM_E_KVM_UNFIT. */
  static open(signal: AbortSignal, threads?: ThreadsAhead): HostParts {
    return new HostParts(Kvm.open(), signal, threads ?? new ThreadsAhead());
  }

  private constructor(kvm: Kvm, signal: AbortSignal, threads: ThreadsAhead) {
    this.kvm = kvm;
    this.signal = signal;
    this.threads = threads;
  }

  async bootFiles({ guest }: ResolvedVm): Promise<BootFiles> {
    if (guest.kind === 'kernel') {
      const { kernel, initrd } = guest;
      return initrd === undefined ? { kernel } : { kernel, initrd };
    }
    const name = imageVariantName(guest.image, guest.packages);
    let files = this.images.get(name);
    if (files === undefined) {
      files = this.imageFiles(guest);
      this.images.set(name, files);
    }
    return files;
  }

  async createMachine(recipe: MachineRecipe): Promise<Machine> {
    const { bootFile, initrd, ...config } = recipe;
    const threads = this.threads.takeVcpus(recipe.vcpus);
    const restored = this.restore?.software(recipe.name, this.threads.restore);
    const machine = await Machine.create(this.kvm, {
      ...config,
      imagePath: bootFile,
      ...(initrd === undefined ? {} : { initrdPath: initrd }),
      threads,
      ...(restored === undefined ? {} : { restored }),
    });
    this.machines.set(recipe.name, machine);
    return machine;
  }

  createRng(): DevicePlug {
    return this.devices.createRng();
  }

  createConsole(): ConsolePlug {
    return this.devices.createConsole();
  }

  createBalloon(): BalloonPlug {
    return this.devices.createBalloon();
  }

  async openNetworks(cluster: ResolvedCluster): Promise<SnapshotNetworks> {
    try {
      const { restore } = this;
      this.networks = await openNetworks(cluster, restore?.epoch, error => this.onFailure(error));
      return this.networks;
    } catch (error) {
      throw this.restore === undefined ? error : explainTap(error);
    }
  }

  /** Disks live as long as the run directory: a snapshot is what keeps them. */
  async openDisks(cluster: ResolvedCluster): Promise<SnapshotDisks> {
    const folder = join(runsDirectory(), cluster.name, 'disks');
    this.disks = await openDisks(
      cluster,
      folder,
      (vm, disk) => this.restore?.disk(vm, disk),
      error => this.onFailure(error),
    );
    return this.disks;
  }

  /** Gives back what the machines shared, and threads that none has taken. */
  async close(): Promise<void> {
    await this.threads.close();
    await this.devices.stop();
    this.kvm.close();
  }

  private async imageFiles({ image: name, packages }: ImageGuest): Promise<BootFiles> {
    const { findImage, imageStore } = await import('../image/images.ts');
    const image = findImage(name);
    const words = image.cmdline === undefined ? {} : { cmdline: image.cmdline };
    if (this.restore !== undefined) {
      // What goes on from a snapshot boots nothing, and has its disks from there.
      const disk = image.files.disk === undefined ? {} : { disk: { size_bytes: 0, readonly: false } };
      // That it has an initial RAM disk tells what kind of guest it is.
      const initrd = image.files.initrd === undefined ? {} : { initrd: '' };
      return { kernel: '', ...initrd, ...words, ...disk };
    }
    const { ensureImage } = await import('../image/ensure.ts');
    const { files } = await ensureImage(imageStore(), image, { packages, signal: this.signal });
    const { disk: base, ...boot } = files;
    if (base === undefined) return { ...boot, ...words };
    return { ...boot, ...words, disk: { base, size_bytes: statSync(base).size, readonly: false } };
  }
}
