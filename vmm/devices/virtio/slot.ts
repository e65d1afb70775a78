import { TsvmmError } from '../../errors.ts';
import { REGISTER_BLOCK_SIZE } from './mmio.ts';
import type { DeviceAttachment } from './served-device.ts';

/** A virtio-mmio device in the guest's address space. */
export interface VirtioSlot {
  readonly base: number;
  readonly irq: number;
  readonly attachment: DeviceAttachment;
}

/** Register blocks lie in the hole below 4 GiB, one after the other. */
const FIRST_BLOCK = 0xd0000000;
/**
 * IOAPIC pins that nothing of this PC uses: not timer (0, 2), COM1 (4), clock (8), ACPI events (13). The order never
 * changes, as restored guests know the pins: keyboard and COM2, which are not there, came later.
 */
const FREE_PINS = [5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 3, 1];

/** Where the device number `index` of a VM appears. Throws TSVMM_E_CONFIG when the VM has too many. */
export function slotPlace(index: number): { base: number; irq: number } {
  const irq = FREE_PINS[index];
  if (irq === undefined) {
    throw new TsvmmError('TSVMM_E_CONFIG', `a VM can have ${FREE_PINS.length} devices, this one has more`, {
      hint: 'remove NICs or disks from it in the cluster file',
    });
  }
  return { base: FIRST_BLOCK + index * REGISTER_BLOCK_SIZE, irq };
}

/** The kernel command line word by which Linux and our own guest find the device (virtio_mmio.c). */
export const slotCmdline = ({ base, irq }: { base: number; irq: number }): string =>
  `virtio_mmio.device=4K@0x${base.toString(16)}:${irq}`;
