import { BalloonQueue } from '../../vmm/devices/virtio/balloon/model.ts';
import { DeviceId } from '../../vmm/devices/virtio/constants.ts';
import { VirtioState } from '../../vmm/devices/virtio/state.ts';
import { signalEventFd } from '../../vmm/io/eventfd.ts';
import type { Machine } from '../../vmm/machine.ts';

/**
 * From the return of this function no memory of the VM goes back to the host, until what it answers is called: a page that
 * is not mapped when RAM is protected would not be protected. Idempotent.
 */
export function holdDiscards(machine: Pick<Machine, 'cow' | 'slots' | 'state'>): () => void {
  const { cow, slots } = machine;
  cow.state.holdDiscards();
  for (const { state, model } of balloons(slots)) {
    // What it is giving back at this moment, it does with its lock held.
    const { lock } = new VirtioState(state, model);
    lock.acquire();
    lock.release();
  }
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    cow.state.allowDiscards();
    wakeBalloons(machine);
  };
}

/** Balloons give back what they were asked for while memory was held, though their drivers have nothing more to say. */
export function wakeBalloons({ slots, state }: Pick<Machine, 'slots' | 'state'>): void {
  // Then the descriptors are closed, or others have their numbers.
  if (state === 'stopped') return;
  for (const { queueEventFds } of balloons(slots))
    signalEventFd(queueEventFds[BalloonQueue.INFLATE] as number);
}

const balloons = (slots: Machine['slots']) =>
  slots.map(({ attachment }) => attachment).filter(({ model }) => model.deviceId === DeviceId.BALLOON);
