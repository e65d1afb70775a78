import { DeviceId } from '../../vmm/devices/virtio/constants.ts';
import { virtioNetConfig } from '../../vmm/devices/virtio/net/config.ts';
import type { Machine } from '../../vmm/machine.ts';

/**
 * The addresses with which a machine's network devices were made, as aa:bb:cc:dd:ee:ff. What a driver has made of its own
 * meanwhile is in the device's state.
 */
export const macsOf = ({ config }: Machine): string[] =>
  config.devices
    .filter(({ model }) => model.deviceId === DeviceId.NET)
    .map(({ model }) => formatMac(model.config));

function formatMac(config: Uint8Array): string {
  const start = virtioNetConfig.offsets.mac;
  return Buffer.from(config.subarray(start, start + 6))
    .toString('hex')
    .replace(/..\B/g, '$&:');
}
