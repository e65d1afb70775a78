import { DeviceId, Interrupt } from '../../vmm/devices/virtio/constants.ts';
import {
  FILTER_CAPACITY,
  RECEIVE_FILTER_OFFSET,
  receiveFilter,
  virtioNetConfig,
} from '../../vmm/devices/virtio/net/config.ts';
import { PASS_ALL } from '../../vmm/devices/virtio/net/filter.ts';
import { VirtioState } from '../../vmm/devices/virtio/state.ts';
import type { View } from '../../vmm/ffi/struct.ts';
import type { MachineParts } from '../../vmm/machine-parts.ts';

const MAC_BYTES = 6;

/**
 * Gives the network devices of a restored VM the addresses with which the new machine was made, instead of those that the
 * guest knows, and tells its drivers that their configuration has changed (virtio 1.2 section 2.5); the interrupt comes
 * when the machine is let run, as one does on every device. A driver that does not look goes on under its old address:
 * the device accepts that too, until the driver sets its filter or resets the device.
 */
export function renewMacs({ slots }: Pick<MachineParts, 'slots'>): void {
  for (const { attachment } of slots) {
    const { model } = attachment;
    if (model.deviceId !== DeviceId.NET) continue;
    const state = new VirtioState(attachment.state, model);
    const { mac } = virtioNetConfig.offsets;
    const old = state.config.slice(mac, mac + MAC_BYTES);
    const filter = receiveFilter.at(state.config.buffer, state.config.byteOffset + RECEIVE_FILTER_OFFSET);
    acceptToo(filter, old);
    state.updateConfig(mac, model.config.subarray(mac, mac + MAC_BYTES));
    state.setInterrupt(Interrupt.CONFIG_CHANGE);
  }
}

/** Adds an address to the table, whose unicast addresses come before the others. */
function acceptToo(filter: View<typeof receiveFilter.fields>, address: Uint8Array): void {
  const { unicast_count, multicast_count, addresses } = filter;
  if (unicast_count === PASS_ALL) return;
  if (unicast_count + (multicast_count === PASS_ALL ? 0 : multicast_count) >= FILTER_CAPACITY) {
    filter.unicast_count = PASS_ALL;
    filter.multicast_count = PASS_ALL;
    return;
  }
  const at = unicast_count * MAC_BYTES;
  addresses.copyWithin(at + MAC_BYTES, at, addresses.length - MAC_BYTES);
  addresses.set(address, at);
  filter.unicast_count = unicast_count + 1;
}
