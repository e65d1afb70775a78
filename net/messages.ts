import type { DeviceAttachment } from '../vmm/devices/virtio/served-device.ts';
import type { RamDescriptor } from '../vmm/memory/ram.ts';
import type { PortTableBuffers } from './counters.ts';
import type { ImpairmentConfig } from './impairment.ts';
import type { NetworkSetup } from './network.ts';
import type { PortSetup } from './ports/port.ts';
import type { TapPortSetup } from './ports/tap-port.ts';

/** What the control side asks of the net thread. Networks and ports are named by numbers that the control side gives. */
export type NetMessage =
  | { readonly kind: 'create-network'; readonly network: number; readonly setup: NetworkSetup }
  | { readonly kind: 'destroy-network'; readonly network: number }
  | {
      readonly kind: 'attach-nic';
      readonly network: number;
      readonly setup: PortSetup;
      readonly attachment: DeviceAttachment;
      readonly ram: RamDescriptor;
    }
  | { readonly kind: 'attach-tap'; readonly network: number; readonly setup: TapPortSetup }
  | { readonly kind: 'detach'; readonly port: number }
  | { readonly kind: 'impair'; readonly port: number; readonly impairment: ImpairmentConfig | undefined }
  | {
      readonly kind: 'start-capture';
      readonly network: number;
      readonly ring: SharedArrayBuffer;
      readonly snapLength: number;
    }
  | { readonly kind: 'stop-capture'; readonly network: number }
  /** For what the thread was extended by (see serveNet). */
  | { readonly kind: 'extension'; readonly body: unknown };

export interface NetThreadSetup {
  readonly table: PortTableBuffers;
}
