import { type HeldLimits, HeldQueue } from './held-queue.ts';
import { type GateListener, MarkerGate } from './marker-gate.ts';
import type { SimulatedFrame } from './oracle.ts';

/** The public side of HeldQueue, so that a test can put a broken one in its place. */
export type HeldFrames = Pick<HeldQueue<SimulatedFrame>, keyof HeldQueue<SimulatedFrame>>;

/**
 * What docs/epoch-protocol.md asks of the switch and of the VMs' snapshotters. The models obey; each mutation test
 * breaks one rule and expects the oracle to notice.
 */
export interface Rules {
  readonly newGate: (listener: GateListener) => MarkerGate;
  readonly newHeldQueue: (limits: HeldLimits) => HeldFrames;
  /** Frames are judged when they are copied to the receiver, not when they arrive at its port. */
  readonly judgesAtDelivery: boolean;
  /** What was held goes before what waits in the backlog. */
  readonly deliversHeldFirst: boolean;
  /** What a drain looks through. */
  readonly drains: { readonly held: boolean; readonly backlog: boolean; readonly delayed: boolean };
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
  newGate: listener => new MarkerGate(listener),
  newHeldQueue: limits => new HeldQueue(limits),
  judgesAtDelivery: true,
  deliversHeldFirst: true,
  drains: { held: true, backlog: true, delayed: true },
  crossesAtCut: true,
  crossesAllPorts: true,
  locksWhilePaused: true,
  abortRaisesPorts: true,
  abortEndsHolding: true,
  abortDeliversHeld: true,
};
