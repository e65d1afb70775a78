import { IoThread } from '../io/io-thread.ts';
import type { RamDescriptor } from '../memory/ram.ts';
import type { DeviceThreadMessage } from './device-thread.ts';
import type { DevicePlug } from './plug.ts';
import { rngModel } from './virtio/rng/model.ts';
import type { DeviceAttachment } from './virtio/served-device.ts';

/** The thread that serves the small devices of all VMs; it starts with the first of them. */
export class DeviceHost {
  private thread: IoThread<DeviceThreadMessage> | undefined;

  /** A new entropy device. */
  createRng(): DevicePlug {
    let attached: { readonly attachment: DeviceAttachment; readonly served: Promise<void> } | undefined;
    return {
      name: 'rng',
      model: rngModel,
      attach: async (attachment: DeviceAttachment, ram: RamDescriptor) => {
        // The thread is not waited for: notifications that come before it runs stay in their eventfds.
        const served = this.running().request({ attach: 'rng', attachment, ram });
        served.catch(() => {});
        attached = { attachment, served };
      },
      detach: async () => {
        const last = attached;
        attached = undefined;
        if (last === undefined) return;
        await last.served;
        await this.running().request({ detach: last.attachment.queueEventFds });
      },
    };
  }

  async stop(): Promise<void> {
    await this.thread?.stop();
    this.thread = undefined;
  }

  private running(): IoThread<DeviceThreadMessage> {
    this.thread ??= new IoThread(import.meta.url, './device-thread');
    return this.thread;
  }
}
