import { setTimeout } from 'node:timers/promises';
import type { JointPause } from './transient/joint-pause.ts';
import type { VmAttempt } from './vm-attempt.ts';
import type { VmSnapshotter } from './vm-snapshotter.ts';

/**
 * So long the savers leave the processors to the guests. Right after the cut each guest copies what it writes most, and has
 * KVM map what it reads; its peers wait for that. What the savers do with the rest is in nobody's way.
 */
const SETTLE_MS = 20;

/** A hot snapshot in a cluster: the VM pauses together with the others, and is saved while it runs. */
export class HotAttempt implements VmAttempt {
  private readonly inner: VmSnapshotter;
  private readonly pauses: JointPause;

  constructor(inner: VmSnapshotter, pauses: JointPause) {
    this.inner = inner;
    this.pauses = pauses;
  }

  cut(cross: () => void): ReturnType<VmSnapshotter['cutTogether']> {
    return this.inner.cutTogether(this.pauses, cross);
  }

  async settle(): Promise<void> {
    await setTimeout(SETTLE_MS);
  }

  save(): ReturnType<VmAttempt['save']> {
    return this.inner.save();
  }

  abort(): Promise<void> {
    return this.inner.abort();
  }
}
