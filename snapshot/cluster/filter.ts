/**
 * The marker filter: what the switch does with one frame at the moment it would reach a receiver's descriptors. It
 * knows nothing of queues, threads or VMs and imports nothing, so that the switch's thread and the simulation run
 * the same lines. docs/epoch-protocol.md says why these four lines are enough.
 */

/** What an attempt asks of the filter; numbers, because they live in a word of shared memory. */
export const FilterMode = { off: 0, hold: 1, drop: 2 } as const;
export type FilterModeName = keyof typeof FilterMode;
export type FilterMode = (typeof FilterMode)[FilterModeName];

/** `record` means deliver *and* record. Everything from `hold` on says that the receiver still has to cut. */
export const Verdict = { deliver: 0, record: 1, hold: 2, drop: 3 } as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/**
 * The marker of a frame that comes from a TAP or an uplink to the world, and the epoch of a port that leads there.
 * The world is not rolled back by a restore, so no epoch can make an exchange with it consistent: it is delivered.
 */
export const OUTSIDE = -1;

/** The recording epoch while no attempt records; smaller than every epoch that an attempt can have. */
export const NOT_RECORDING = 0;

/** Epochs are numbered 1 .. this, so that they fit a signed word; 0 is "before the first attempt". */
export const MAXIMUM_EPOCH = 0x7fff_ffff;

/**
 * Decides about one frame. To be asked at the copy into the receiver's descriptors, with the receiver's device lock
 * held, wherever the frame waited before: a verdict must not outlive the lock under which it was made. The drain asks
 * too, for each frame that still waits when all have cut: `record` then means record, and let it wait on.
 *
 * @param frameEpoch the frame's marker: its sender's epoch when it was taken from the tx ring, or OUTSIDE
 * @param receiverEpoch the receiving port's epoch now, or OUTSIDE
 * @param mode the mode of the attempt under way
 * @param recordingEpoch the attempt whose channels are being recorded, or NOT_RECORDING
 */
export function filterFrame(
  frameEpoch: number,
  receiverEpoch: number,
  mode: FilterMode,
  recordingEpoch: number,
): Verdict {
  if (mode === FilterMode.off || frameEpoch < 0 || receiverEpoch < 0) return Verdict.deliver;
  if (frameEpoch > receiverEpoch) return mode === FilterMode.hold ? Verdict.hold : Verdict.drop;
  return frameEpoch < recordingEpoch && recordingEpoch <= receiverEpoch ? Verdict.record : Verdict.deliver;
}
