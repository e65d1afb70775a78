import type { FilterMode } from '../../../snapshot/cluster/filter.ts';

/** What the control side asks of the epochs' extension of the net thread. Ports are named by their numbers. */
export type EpochMessage =
  | { readonly kind: 'open'; readonly epoch: number; readonly mode: FilterMode }
  | { readonly kind: 'drain'; readonly epoch: number }
  | { readonly kind: 'abort'; readonly epoch: number }
  | { readonly kind: 'wake'; readonly ports: readonly number[] }
  | { readonly kind: 'inject'; readonly frames: readonly InjectedFrame[] };

/** A recorded frame that a restored cluster's switch delivers before any other. */
export interface InjectedFrame {
  readonly sender: number;
  readonly receiver: number;
  readonly epoch: number;
  /** struct virtio_net_hdr_v1 and the frame. */
  readonly bytes: Uint8Array;
}

export interface DrainResult {
  readonly frames: readonly {
    readonly sender: string;
    readonly receiver: string;
    readonly epoch: number;
    readonly bytes: Uint8Array;
  }[];
  readonly counts: readonly (readonly [string, { held: number; dropped: number; recorded: number }])[];
}

/** What the extension says unasked. */
export interface EpochNotice {
  readonly kind: 'newer-marker' | 'held-full';
  readonly port: string;
  readonly epoch: number;
}
