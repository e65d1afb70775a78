/**
 * The thread that serves the devices that need little: entropy, and later consoles. One for all VMs of the process.
 */
import { drainEventFd } from '../io/eventfd.ts';
import { serveIoThread } from '../io/io-thread.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import type { RamDescriptor } from '../memory/ram.ts';
import { RngHandler } from './virtio/rng/handler.ts';
import { type DeviceAttachment, ServedDevice } from './virtio/served-device.ts';

export type DeviceThreadMessage =
  | { readonly attach: 'rng'; readonly attachment: DeviceAttachment; readonly ram: RamDescriptor }
  | { readonly detach: readonly number[] };

serveIoThread<DeviceThreadMessage>(loop => message => {
  if ('detach' in message) {
    for (const fd of message.detach) {
      loop.remove(fd);
      drainEventFd(fd);
    }
    return;
  }
  const { attachment, ram } = message;
  const device = new ServedDevice(attachment, new GuestMemory(ram));
  new RngHandler(device, attachment, loop);
});
