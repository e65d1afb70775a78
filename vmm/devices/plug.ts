import type { RamDescriptor } from '../memory/ram.ts';
import type { BalloonEnd } from './virtio/balloon/balloon-end.ts';
import type { ConsoleEnd } from './virtio/console/console-end.ts';
import type { VirtioModel } from './virtio/model.ts';
import type { DeviceAttachment } from './virtio/served-device.ts';

/** A device that a machine is composed with: who serves its queues is the plug's business (a switch, a disk). */
export interface DevicePlug {
  /** Unique in its VM: "net0", "disk1", "rng". */
  readonly name: string;
  readonly model: VirtioModel;
  /** Starts serving; called before the guest runs. */
  attach(attachment: DeviceAttachment, ram: RamDescriptor): Promise<void>;
  /** Stops serving: afterwards nobody touches the VM's memory or the attachment. Idempotent. */
  detach(): Promise<void>;
}

/** A console device and the end of it that is the host's. */
export interface ConsolePlug extends DevicePlug {
  readonly console: ConsoleEnd;
}

/** A balloon and the end of it that is the host's. */
export interface BalloonPlug extends DevicePlug {
  readonly balloon: BalloonEnd;
}
