import { TsvmmError } from '../../vmm/errors.ts';
import type { FilterModeName } from './filter.ts';
import type { CutCause, CutReport, FrameCounts, SaveReport, SnapshotEvent, VmName } from './protocol.ts';

/** What happened to one VM; instants are microseconds since the request. */
export interface VmTimeline extends FrameCounts {
  readonly name: VmName;
  readonly ready_us: number;
  readonly cut_cause: CutCause;
  readonly commanded_us: number;
  readonly suspended_us: number;
  readonly crossed_us: number;
  readonly resumed_us: number;
  readonly saved_us: number;
  readonly downtime_us: number;
  readonly kick_us: number;
  readonly state_us: number;
  readonly arm_us: number;
  readonly saved: Omit<SaveReport, 'resumed_us'>;
}

/** One snapshot from request to publication, as plain data: for the manifest, `snap --format json` and the picture. */
export interface SnapshotTimeline {
  readonly name: string;
  readonly epoch: number;
  readonly mode: FilterModeName;
  /** When it got its turn. */
  readonly started_us: number;
  readonly cut_skew_us: number;
  /** The last cut: from here on the snapshot's content is fixed. */
  readonly logical_us: number;
  readonly channel_recorded_us: number;
  /** All is written; only publishing remains. */
  readonly complete_us: number;
  readonly frames: FrameCounts;
  readonly vms: readonly VmTimeline[];
}

interface VmNotes {
  ready_us?: number;
  commanded_us?: number;
  cause?: CutCause;
  cut?: CutReport;
  saved?: SaveReport;
  saved_us?: number;
}

const noFrames: FrameCounts = { held_count: 0, dropped_count: 0, recorded_count: 0 };

/** Collects the events of one request. */
export class TimelineBuilder {
  private readonly vms = new Map<VmName, VmNotes>();
  private requested_us = 0;
  private started: Extract<SnapshotEvent, { kind: 'started' }> | undefined;
  private channel: Extract<SnapshotEvent, { kind: 'channel-recorded' }> | undefined;

  add(event: SnapshotEvent): void {
    switch (event.kind) {
      case 'queued':
        this.requested_us = event.at_us;
        break;
      case 'started':
        this.started = event;
        for (const vm of event.vms) this.vms.set(vm, {});
        break;
      case 'vm-ready':
        this.note(event.vm, { ready_us: event.at_us });
        break;
      case 'cut-commanded':
        this.note(event.vm, { commanded_us: event.at_us, cause: event.cause });
        break;
      case 'vm-cut':
        this.note(event.vm, { cut: event.cut });
        break;
      case 'vm-saved':
        this.note(event.vm, { saved: event.saved, saved_us: event.at_us });
        break;
      case 'channel-recorded':
        this.channel = event;
        break;
    }
  }

  /** The timeline of an attempt whose parts are all there at `complete_us`; else throws TSVMM_E_INTERNAL. */
  build(complete_us: number): SnapshotTimeline {
    const { started, channel } = this;
    if (started === undefined || channel === undefined) throw incomplete('the snapshot');
    const vms = [...this.vms].map(([name, notes]) => this.vmTimeline(name, notes, channel.frames.get(name)));
    const cuts = vms.map(vm => vm.crossed_us);
    const total = (key: keyof FrameCounts) => vms.reduce((sum, vm) => sum + vm[key], 0);
    return {
      name: started.request.name,
      epoch: started.epoch,
      mode: started.request.mode,
      started_us: this.since(started.at_us),
      cut_skew_us: Math.max(...cuts) - Math.min(...cuts),
      logical_us: Math.max(...cuts),
      channel_recorded_us: this.since(channel.at_us),
      complete_us: this.since(complete_us),
      frames: {
        held_count: total('held_count'),
        dropped_count: total('dropped_count'),
        recorded_count: total('recorded_count'),
      },
      vms,
    };
  }

  private vmTimeline(name: VmName, notes: VmNotes, frames: FrameCounts = noFrames): VmTimeline {
    const { ready_us, cut, saved, saved_us } = notes;
    if (ready_us === undefined || cut === undefined || saved === undefined || saved_us === undefined) {
      throw incomplete(`VM "${name}"`);
    }
    const { resumed_us = cut.resumed_us, ...counts } = saved;
    return {
      name,
      ready_us: this.since(ready_us),
      cut_cause: notes.cause ?? 'newer-marker',
      commanded_us: this.since(notes.commanded_us ?? cut.suspended_us),
      suspended_us: this.since(cut.suspended_us),
      crossed_us: this.since(cut.crossed_us),
      resumed_us: this.since(resumed_us),
      saved_us: this.since(saved_us),
      downtime_us: resumed_us - cut.suspended_us,
      kick_us: cut.kick_us,
      state_us: cut.state_us,
      arm_us: cut.arm_us,
      ...frames,
      saved: counts,
    };
  }

  private note(vm: VmName, notes: VmNotes): void {
    Object.assign(this.vms.get(vm) ?? {}, notes);
  }

  private since(instant_us: number): number {
    return instant_us - this.requested_us;
  }
}

const incomplete = (what: string) =>
  new TsvmmError('TSVMM_E_INTERNAL', `the timeline of ${what} is incomplete`);
