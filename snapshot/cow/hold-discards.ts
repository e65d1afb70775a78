import { DeviceId } from '../../vmm/devices/virtio/constants.ts';
import { VirtioState } from '../../vmm/devices/virtio/state.ts';
import type { Machine } from '../../vmm/machine.ts';

/**
 * From the return of this function no memory of the VM goes back to the host, until what it answers is called: a page that
 * is not mapped when RAM is protected would not be protected. Idempotent.
 */
export function holdDiscards({ cow, slots }: Pick<Machine, 'cow' | 'slots'>): () => void {
  cow.state.holdDiscards();
  for (const { attachment } of slots) {
    if (attachment.model.deviceId !== DeviceId.BALLOON) continue;
    // What it is giving back at this moment, it does with its lock held.
    const { lock } = new VirtioState(attachment.state, attachment.model);
    lock.acquire();
    lock.release();
  }
  let held = true;
  return () => {
    if (held) cow.state.allowDiscards();
    held = false;
  };
}
