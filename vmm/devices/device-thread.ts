/**
 * The thread that serves the devices that need little: entropy, consoles and balloons. One for all VMs of the process.
 */

import type { EventLoop } from '../io/event-loop.ts';
import { drainEventFd } from '../io/eventfd.ts';
import { serveIoThread } from '../io/io-thread.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import type { RamDescriptor } from '../memory/ram.ts';
import { ByteRing } from '../shared/byte-ring.ts';
import type { BalloonChange } from './virtio/balloon/balloon-end.ts';
import { BalloonHandler } from './virtio/balloon/handler.ts';
import { ConsoleHandler } from './virtio/console/handler.ts';
import { RngHandler } from './virtio/rng/handler.ts';
import { type DeviceAttachment, ServedDevice } from './virtio/served-device.ts';

/** `id` tells the devices of the thread apart. */
export type DeviceThreadMessage = { readonly id: number } & (
  | {
      readonly attach:
        | { readonly kind: 'rng' | 'balloon' }
        | { readonly kind: 'console'; readonly output: SharedArrayBuffer };
      readonly attachment: DeviceAttachment;
      readonly ram: RamDescriptor;
    }
  | { readonly detach: true }
  | { readonly change: DeviceChange }
);

export type DeviceChange =
  | { readonly resize: { readonly columns: number; readonly rows: number } }
  | { readonly balloon: BalloonChange };

interface Served {
  readonly fds: readonly number[];
  readonly handler: RngHandler | ConsoleHandler | BalloonHandler;
}

serveIoThread<DeviceThreadMessage>((loop, _, notify) => {
  const served = new Map<number, Served>();
  return message => {
    const { id } = message;
    if ('attach' in message) {
      const { attach, attachment, ram } = message;
      const device = new ServedDevice(attachment, new GuestMemory(ram));
      const handler = createHandler(attach, device, attachment, loop, () => notify(id));
      served.set(id, { fds: attachment.queueEventFds, handler });
      return;
    }
    const target = served.get(id);
    if (target === undefined) return;
    if ('change' in message) return change(target.handler, message.change);
    served.delete(id);
    target.handler.detach();
    target.fds.forEach(drainEventFd);
  };
});

function createHandler(
  attach: Extract<DeviceThreadMessage, { attach: unknown }>['attach'],
  device: ServedDevice,
  attachment: DeviceAttachment,
  loop: EventLoop,
  announce: () => void,
): Served['handler'] {
  switch (attach.kind) {
    case 'rng':
      return new RngHandler(device, attachment, loop);
    case 'balloon':
      return new BalloonHandler(device, attachment, loop);
    case 'console':
      return new ConsoleHandler(device, attachment, loop, { ring: new ByteRing(attach.output), announce });
  }
}

function change(handler: Served['handler'], change: DeviceChange): void {
  if ('resize' in change) {
    if (handler instanceof ConsoleHandler) handler.resize(change.resize.columns, change.resize.rows);
  } else if (handler instanceof BalloonHandler) {
    if (change.balloon === 'ask statistics') handler.askStatistics();
    else handler.setTarget(change.balloon.target);
  }
}
