import { MIB } from '../../../vmm/memory/address.ts';
import { residentMemory } from '../guests/resident.ts';
import type { Contestant, Sample } from '../harness.ts';
import { BootingChild } from './child.ts';

export const MICROVM = 'QEMU microvm';
export const QEMU = 'qemu-system-x86_64';

/** The same image in QEMU's microvm machine with KVM: the leanest that QEMU has. */
export class Microvm implements Contestant {
  readonly name = MICROVM;
  private readonly words: readonly string[];
  private readonly memory_bytes: number;

  constructor(image: string, memory_bytes: number) {
    this.memory_bytes = memory_bytes;
    this.words = [
      ...['-M', 'microvm,acpi=off,isa-serial=on,rtc=off,pit=on,pic=on', '-accel', 'kvm', '-cpu', 'host'],
      ...['-m', `${memory_bytes / MIB}M`, '-nodefaults', '-no-user-config', '-no-reboot'],
      ...['-display', 'none', '-serial', 'stdio', '-global', 'virtio-mmio.force-legacy=false'],
      ...['-device', 'virtio-rng-device', '-kernel', image, '-append', 'idle stat=0'],
    ];
  }

  async measure(): Promise<Sample> {
    const child = new BootingChild(QEMU, this.words);
    try {
      const ready_ms = await child.ready();
      const { overhead_mib, private_mib } = residentMemory(child.pid, this.memory_bytes);
      return { ready_ms, overhead_mib, private_mib };
    } finally {
      await child.end('SIGKILL');
    }
  }
}
