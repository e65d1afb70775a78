import { checked } from '../ffi/errno.ts';
import { backend } from '../ffi/index.ts';
import { sigaction, tgkill } from '../ffi/libc.ts';
import { bytes, i32, struct, usize } from '../ffi/struct.ts';

/** sigaction(2) as glibc has it on x86-64. */
export const sigactionLayout = struct('sigaction', {
  sa_handler: usize,
  sa_mask: bytes(128),
  sa_flags: i32,
  sa_restorer: usize,
});

/** A real-time signal that neither Node.js nor libc uses. */
const KICK_SIGNAL = 40;
let isInstalled = false;

/**
 * Makes the kick signal harmless: its handler does nothing, and is not SA_RESTART, so that KVM_RUN returns EINTR.
 * The handler is libc's abs(int): no code of ours could be called on a signal, and abs touches nothing. Idempotent.
 */
export function installKickSignal(): void {
  if (isInstalled) return;
  const action = sigactionLayout.allocate();
  action.sa_handler = backend.symbolAddress('abs');
  checked(sigaction(KICK_SIGNAL, action.bytes, 0), 'sigaction');
  isInstalled = true;
}

/** Interrupts a thread of this process if it sleeps in a system call. False when it has ended. */
export function kickThread(thread: number): boolean {
  // A machine may be stopped before it was started: without a handler the signal would end the process.
  installKickSignal();
  return tgkill(process.pid, thread, KICK_SIGNAL) === 0;
}
