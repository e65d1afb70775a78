import { RESET_CONTROL_PORT, RESET_VALUE } from '../devices/power.ts';
import { gpa } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { LowMemory } from './low-memory.ts';

/** In real mode: mov dx, port; mov al, value; out dx, al; hlt and, if an NMI ends that, hlt again. */
const resetCode = Uint8Array.of(
  ...[0xba, RESET_CONTROL_PORT & 0xff, RESET_CONTROL_PORT >> 8],
  ...[0xb0, RESET_VALUE],
  0xee,
  ...[0xf4, 0xeb, 0xfd],
);

/**
 * Puts code where a PC's firmware begins in real mode (F000:FFF0): a kernel that knows no other way goes there to be reset.
 * Linux 6.1 with CONFIG_EFI (Debian 12) does: on hardware that is reduced in ACPI's sense it leaves the reset to EFI, and
 * without EFI to the firmware in real mode; neither the reset register nor the keyboard controller is tried.
 */
export function writeResetVector(memory: GuestMemory): void {
  memory.copyIn(gpa(LowMemory.RESET_VECTOR), resetCode);
}
