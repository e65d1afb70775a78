import { Feature } from './constants.ts';

/** What a kind of virtio device is, apart from any state: the same value on the vCPU's and on the I/O side. */
export interface VirtioModel {
  readonly deviceId: number;
  /** Feature bits of the device type; the transport's are added by `offeredFeatures`. */
  readonly features: bigint;
  /** Largest size of each virtqueue, powers of two. */
  readonly queueSizes: readonly number[];
  /** Initial content of the device configuration space, at most CONFIG_SPACE_SIZE bytes. */
  readonly config: Uint8Array;
  /** Bytes of the configuration space that the driver may write; none if left out. */
  readonly writableConfig?: { readonly start: number; readonly end: number };
  /**
   * Words of the device's own in its shared state, which snapshots keep: those of the driver's session, which a reset
   * clears, then those that last.
   */
  readonly ownWords?: { readonly session: number; readonly lasting: number };
  /** Bytes of the configuration space that belong to the driver's session: a reset gives them their initial content. */
  readonly sessionConfig?: readonly { readonly start: number; readonly end: number }[];
}

export const CONFIG_SPACE_SIZE = 256;

export const offeredFeatures = (model: VirtioModel): bigint =>
  model.features | Feature.VERSION_1 | Feature.EVENT_IDX | Feature.INDIRECT_DESC;
