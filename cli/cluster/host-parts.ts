import { DeviceHost } from '../../vmm/devices/device-host.ts';
import type { DevicePlug } from '../../vmm/devices/plug.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { Kvm } from '../../vmm/kvm/kvm.ts';
import { Machine } from '../../vmm/machine.ts';
import { VcpuHandle } from '../../vmm/vcpu/vcpu-handle.ts';
import type { ResolvedCluster, ResolvedVm } from '../config/resolved.ts';
import { openDisks } from './disks.ts';
import { openNetworks } from './networks.ts';
import type { ClusterDisks, ClusterNetworks, ClusterParts, MachineRecipe } from './parts.ts';

/**
 * The real parts: machines on /dev/kvm. Opening them starts what every cluster needs and what takes longest, so it
 * should happen before the cluster file is read.
 */
export class HostParts implements ClusterParts {
  /** By VM name. */
  readonly machines = new Map<string, Machine>();
  private readonly kvm: Kvm;
  private readonly devices = new DeviceHost();
  /** Threads that no machine has taken yet. */
  private readonly idleThreads: VcpuHandle[];
  private readonly images = new Map<string, Promise<string>>();
  private readonly signal: AbortSignal;

  /** Throws TSVMM_E_KVM_MISSING, TSVMM_E_KVM_PERMISSION, TSVMM_E_KVM_UNFIT. */
  static open(signal: AbortSignal): HostParts {
    return new HostParts(Kvm.open(), signal);
  }

  private constructor(kvm: Kvm, signal: AbortSignal) {
    this.kvm = kvm;
    this.signal = signal;
    this.idleThreads = [new VcpuHandle()];
  }

  bootFile({ guest }: ResolvedVm): Promise<string> {
    if (guest.kind === 'kernel') return Promise.resolve(guest.kernel);
    let path = this.images.get(guest.image);
    if (path === undefined) {
      path = this.imagePath(guest.image);
      this.images.set(guest.image, path);
    }
    return path;
  }

  async createMachine(recipe: MachineRecipe): Promise<Machine> {
    const { bootFile, initrd, ...config } = recipe;
    if (initrd !== undefined) {
      throw new TsvmmError(
        'TSVMM_E_CONFIG',
        'an initrd cannot be loaded: only PVH kernels without one boot so far',
      );
    }
    const threads = this.idleThreads.splice(0, recipe.vcpus);
    const machine = await Machine.create(this.kvm, { ...config, imagePath: bootFile, threads });
    this.machines.set(recipe.name, machine);
    return machine;
  }

  createRng(): DevicePlug {
    return this.devices.createRng();
  }

  openNetworks(cluster: ResolvedCluster): Promise<ClusterNetworks> {
    return openNetworks(cluster);
  }

  openDisks(cluster: ResolvedCluster): Promise<ClusterDisks> {
    return openDisks(cluster);
  }

  /** Gives back what the machines shared, and threads that none has taken. */
  async close(): Promise<void> {
    await Promise.all(this.idleThreads.splice(0).map(thread => thread.end()));
    await this.devices.stop();
    this.kvm.close();
  }

  private async imagePath(name: string): Promise<string> {
    const { findImage, imageStore } = await import('../image/images.ts');
    const { ensureImage } = await import('../image/ensure.ts');
    return (await ensureImage(imageStore(), findImage(name), { signal: this.signal })).path;
  }
}
