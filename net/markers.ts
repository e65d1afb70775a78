import type { Frame } from '../vmm/devices/virtio/net/frame.ts';

/**
 * What becomes of a frame by its marker (the sender's epoch when it was taken from the sender) and its receiver's
 * epoch. 'record' delivers the frame, too.
 */
export const Verdict = { deliver: 0, record: 1, hold: 2, drop: 3 } as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];
export const verdictNames = Object.keys(Verdict) as (keyof typeof Verdict)[];

/** The epoch of ports that lead out of the cluster, and so the marker of frames from there. */
export const OUTSIDE = -1;

/** Where the snapshot protocol comes in. Called in the net thread, for every frame: must not allocate nor wait. */
export interface Markers {
  /** Asked at the copy into the receiver's buffers with its lock held, however long the frame waited before. */
  verdict(marker: number, epoch: number): Verdict;
  /** The frame was delivered after 'record'. `sender` and `receiver` are ports' names. */
  record(frame: Frame, sender: string, receiver: string): void;
  /** A frame is held for `receiver`. `full`: no more can be, so that their senders have to wait. */
  held(receiver: string, full: boolean): void;
}

/** Without snapshots there is nothing to filter. */
export const noMarkers: Markers = {
  verdict: () => Verdict.deliver,
  record: () => {},
  held: () => {},
};
