/**
 * The thread that serves the devices that need little: entropy and consoles. One for all VMs of the process.
 */
import { drainEventFd } from '../io/eventfd.ts';
import { serveIoThread } from '../io/io-thread.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import type { RamDescriptor } from '../memory/ram.ts';
import { ByteRing } from '../shared/byte-ring.ts';
import { ConsoleHandler } from './virtio/console/handler.ts';
import { RngHandler } from './virtio/rng/handler.ts';
import { type DeviceAttachment, ServedDevice } from './virtio/served-device.ts';

/** `id` tells the devices of the thread apart. */
export type DeviceThreadMessage = { readonly id: number } & (
  | {
      readonly attach:
        | { readonly kind: 'rng' }
        | { readonly kind: 'console'; readonly output: SharedArrayBuffer };
      readonly attachment: DeviceAttachment;
      readonly ram: RamDescriptor;
    }
  | { readonly detach: true }
  | { readonly change: { readonly resize: { readonly columns: number; readonly rows: number } } }
);

interface Served {
  readonly fds: readonly number[];
  readonly handler: RngHandler | ConsoleHandler;
}

serveIoThread<DeviceThreadMessage>((loop, _, notify) => {
  const served = new Map<number, Served>();
  return message => {
    const { id } = message;
    if ('attach' in message) {
      const { attach, attachment, ram } = message;
      const device = new ServedDevice(attachment, new GuestMemory(ram));
      const handler =
        attach.kind === 'rng'
          ? new RngHandler(device, attachment, loop)
          : new ConsoleHandler(device, attachment, loop, {
              ring: new ByteRing(attach.output),
              announce: () => notify(id),
            });
      served.set(id, { fds: attachment.queueEventFds, handler });
      return;
    }
    const target = served.get(id);
    if (target === undefined) return;
    if ('change' in message) {
      const { columns, rows } = message.change.resize;
      if (target.handler instanceof ConsoleHandler) target.handler.resize(columns, rows);
      return;
    }
    served.delete(id);
    target.handler.detach();
    target.fds.forEach(drainEventFd);
  };
});
