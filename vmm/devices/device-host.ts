import { IoThread } from '../io/io-thread.ts';
import type { RamDescriptor } from '../memory/ram.ts';
import type { DeviceChange, DeviceThreadMessage } from './device-thread.ts';
import type { BalloonPlug, ConsolePlug, DevicePlug } from './plug.ts';
import { BalloonEnd } from './virtio/balloon/balloon-end.ts';
import { balloonModel } from './virtio/balloon/model.ts';
import { ConsoleEnd } from './virtio/console/console-end.ts';
import { consoleModel } from './virtio/console/model.ts';
import type { VirtioModel } from './virtio/model.ts';
import { rngModel } from './virtio/rng/model.ts';
import type { DeviceAttachment } from './virtio/served-device.ts';

/** The thread that serves the small devices of all VMs; it starts with the first of them. */
export class DeviceHost {
  private readonly onFailure: (error: Error) => void;
  private thread: IoThread<DeviceThreadMessage> | undefined;
  /** By the number of a device on the thread: what to do when it speaks unasked. */
  private readonly listeners = new Map<number, () => void>();
  private nextId = 0;

  /** `onFailure` is told when the thread has failed: guests wait for their devices for ever then. */
  constructor(onFailure: (error: Error) => void = () => {}) {
    this.onFailure = onFailure;
  }

  /** A new entropy device. */
  createRng(): DevicePlug {
    return this.createPlug('rng', rngModel, { kind: 'rng' });
  }

  /** A new console. */
  createConsole(): ConsolePlug {
    const end = new ConsoleEnd((columns, rows) => plug.send({ resize: { columns, rows } }));
    const plug = this.createPlug('console', consoleModel, { kind: 'console', output: end.buffer }, () =>
      end.onOutput(),
    );
    const attach = async (attachment: DeviceAttachment, ram: RamDescriptor) => {
      end.connect(attachment);
      await plug.attach(attachment, ram);
    };
    const detach = async () => {
      await plug.detach();
      end.disconnect();
    };
    return { ...plug, attach, detach, console: end };
  }

  /** A new balloon. */
  createBalloon(): BalloonPlug {
    const plug = this.createPlug('balloon', balloonModel, { kind: 'balloon' });
    const end = new BalloonEnd(balloon => plug.send({ balloon }));
    const attach = async (attachment: DeviceAttachment, ram: RamDescriptor) => {
      end.connect(attachment);
      await plug.attach(attachment, ram);
    };
    return { ...plug, attach, balloon: end };
  }

  async stop(): Promise<void> {
    await this.thread?.stop();
    this.thread = undefined;
  }

  private createPlug(name: string, model: VirtioModel, device: SmallDevice, onNotice = () => {}) {
    const id = this.nextId++;
    let served: Promise<void> | undefined;
    const send = (change: DeviceChange): void => {
      if (served !== undefined)
        this.running()
          .request({ id, change })
          .catch(() => {});
    };
    return {
      name,
      model,
      send,
      attach: async (attachment: DeviceAttachment, ram: RamDescriptor) => {
        this.listeners.set(id, onNotice);
        // The thread is not waited for: notifications that come before it runs stay in their eventfds.
        served = this.running().request({ id, attach: device, attachment, ram });
        served.catch(() => {});
      },
      detach: async () => {
        const last = served;
        served = undefined;
        if (last === undefined) return;
        await last;
        await this.running().request({ id, detach: true });
        this.listeners.delete(id);
      },
    };
  }

  private running(): IoThread<DeviceThreadMessage> {
    if (this.thread === undefined) {
      this.thread = new IoThread(import.meta.url, './device-thread');
      this.thread.ended.catch(this.onFailure);
      this.thread.onNotice = id => this.listeners.get(id as number)?.();
    }
    return this.thread;
  }
}

type SmallDevice = Extract<DeviceThreadMessage, { attach: unknown }>['attach'];
