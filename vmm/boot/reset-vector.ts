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
 * Puts code where a PC's firmware begins in real mode (F000:FFF0), which is where a kernel that knows no better way ends to
 * be reset. Linux up to 6.1 with CONFIG_EFI does: as the hardware is reduced it wants EFI to reset it, and goes there when
 * there is none.
 */
export function writeResetVector(memory: GuestMemory): void {
  memory.copyIn(gpa(LowMemory.RESET_VECTOR), resetCode);
}
