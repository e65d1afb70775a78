import { DeviceId } from '../constants.ts';
import type { VirtioModel } from '../model.ts';
import { LINK_UP, RECEIVE_FILTER_OFFSET, ReceiveMode, receiveFilter, virtioNetConfig } from './config.ts';

/** Feature bits of the network device (virtio 1.2 section 5.1.3). */
export const NetFeature = {
  CSUM: 1n << 0n,
  GUEST_CSUM: 1n << 1n,
  MTU: 1n << 3n,
  MAC: 1n << 5n,
  GUEST_TSO4: 1n << 7n,
  GUEST_TSO6: 1n << 8n,
  GUEST_ECN: 1n << 9n,
  HOST_TSO4: 1n << 11n,
  HOST_TSO6: 1n << 12n,
  HOST_ECN: 1n << 13n,
  MRG_RXBUF: 1n << 15n,
  STATUS: 1n << 16n,
  CTRL_VQ: 1n << 17n,
  CTRL_RX: 1n << 18n,
  CTRL_RX_EXTRA: 1n << 20n,
  CTRL_MAC_ADDR: 1n << 23n,
} as const;

/** The virtqueues (section 5.1.2). */
export const NetQueue = { RECEIVE: 0, TRANSMIT: 1, CONTROL: 2 } as const;
export const QUEUE_SIZE = 256;
const CONTROL_QUEUE_SIZE = 64;

export interface NetModelOptions {
  /** Six bytes. */
  readonly mac: Uint8Array;
  readonly mtu: number;
}

/** The network device (virtio 1.2 section 5.1) with one pair of queues and a control queue. */
export function netModel({ mac, mtu }: NetModelOptions): VirtioModel {
  const space = new ArrayBuffer(RECEIVE_FILTER_OFFSET + receiveFilter.size);
  const config = virtioNetConfig.at(space);
  config.mac.set(mac);
  config.status = LINK_UP;
  config.max_virtqueue_pairs = 1;
  config.mtu = mtu;
  // Until the driver says otherwise, it gets every frame that the switch has for its port.
  receiveFilter.at(space, RECEIVE_FILTER_OFFSET).modes = ReceiveMode.PROMISC;
  return {
    deviceId: DeviceId.NET,
    features: Object.values(NetFeature).reduce((all, bit) => all | bit, 0n),
    queueSizes: [QUEUE_SIZE, QUEUE_SIZE, CONTROL_QUEUE_SIZE],
    config: new Uint8Array(space),
    sessionConfig: [
      { start: virtioNetConfig.offsets.mac, end: virtioNetConfig.offsets.mac + 6 },
      { start: RECEIVE_FILTER_OFFSET, end: space.byteLength },
    ],
  };
}
