import { filterFrame } from '../../../../snapshot/cluster/filter.ts';
import { type HeldLimits, HeldQueue } from '../../../../snapshot/cluster/held-queue.ts';
import type { SimulatedFrame } from './oracle.ts';

/** The public side of HeldQueue, so that a test can put a broken one in its place. */
export type HeldFrames = Pick<HeldQueue<SimulatedFrame>, keyof HeldQueue<SimulatedFrame>>;

/**
 * What docs/epoch-protocol.md asks of the switch and of the VMs' snapshotters. The models obey; each mutation test
 * breaks one rule and expects the oracle to notice.
 */
export interface Rules {
  readonly filter: typeof filterFrame;
  readonly newHeldQueue: (limits: HeldLimits) => HeldFrames;
  /** Frames are judged when they are copied to the receiver, not when they arrive at its port. */
  readonly judgesAtDelivery: boolean;
  readonly deliversHeldFirst: boolean;
  /** What a drain looks through. */
  readonly drains: { readonly held: boolean; readonly backlog: boolean; readonly delayed: boolean };
  /** The drain ends the recording in the same instant. */
  readonly closesRecording: boolean;
  /** The ports cross in the instant in which the state is taken, all of them. */
  readonly crossesAtCut: boolean;
  readonly crossesAllPorts: boolean;
  /** No frame passes the NICs while their VM is in the pause. */
  readonly locksWhilePaused: boolean;
  /** An abort puts every port into the epoch, ends the filtering, and lets the held frames go. */
  readonly abortRaisesPorts: boolean;
  readonly abortEndsHolding: boolean;
  readonly abortDeliversHeld: boolean;
}

export const soundRules: Rules = {
  filter: filterFrame,
  newHeldQueue: limits => new HeldQueue(limits),
  judgesAtDelivery: true,
  deliversHeldFirst: true,
  drains: { held: true, backlog: true, delayed: true },
  closesRecording: true,
  crossesAtCut: true,
  crossesAllPorts: true,
  locksWhilePaused: true,
  abortRaisesPorts: true,
  abortEndsHolding: true,
  abortDeliversHeld: true,
};
