import type { SerializedError } from '../../vmm/errors.ts';
import { abortOverdue, cutTimedOut, requestTimedOut, vmFailed } from './failures.ts';
import type { Command, CutCause, Input, SnapshotEvent, SnapshotRequest, VmName } from './protocol.ts';

/** Where one VM stands. `ready`: prepared, waits for its turn to cut. */
type Step = 'preparing' | 'ready' | 'cutting' | 'saving' | 'saved';

/**
 * opening -> preparing -> cutting -> completing -> publishing -> published
 *     \__________\___________\___________\______-> aborting -> aborted
 *
 * Cutting starts when everybody is prepared: nobody stands still in that barrier, and the cuts lie close together.
 * Each VM starts to save as soon as it has cut. `completing`: all have cut; the channels are recorded, VMs save.
 */
type Phase =
  | 'opening'
  | 'preparing'
  | 'cutting'
  | 'completing'
  | 'publishing'
  | 'published'
  | 'aborting'
  | 'aborted';

export type AttemptInput = Extract<Input, { readonly epoch: number }>;

export interface AttemptLimits {
  /** From the first order to cut to the last cut: frames are held that long at most. */
  readonly cutTimeout_us: number;
  /** After this an abort is reported to the user, though somebody still cleans up. */
  readonly abortTimeout_us: number;
  /** How many VMs cut at the same time; markers go ahead of it. */
  readonly cutParallelism: number;
}

type EventBody = SnapshotEvent extends infer Event
  ? Event extends SnapshotEvent
    ? Omit<Event, 'at_us' | 'request'>
    : never
  : never;

/** The protocol for one attempt at a cluster snapshot, from the first preparation to published or aborted. */
export class Attempt {
  readonly epoch: number;
  readonly request: SnapshotRequest;
  private readonly limits: AttemptLimits;
  private readonly emit: (command: Command) => void;
  private readonly steps = new Map<VmName, Step>();
  /** Left since the attempt began: they answer no more. */
  private readonly gone = new Set<VmName>();
  private isSwitchGone = false;
  private phase: Phase = 'opening';
  private now_us: number;
  private deadline: number;
  private cutDeadline = Number.POSITIVE_INFINITY;
  private switchIsReady = false;
  private channelIsRecorded = false;
  /** While aborting: who has not answered yet. */
  private readonly abortingVms = new Set<VmName>();
  private switchIsAborting = false;
  private imageIsDiscarding = false;
  private failure: SerializedError | undefined;
  private isReported = false;

  constructor(
    epoch: number,
    request: SnapshotRequest,
    vms: readonly VmName[],
    started_us: { now: number; requested: number },
    limits: AttemptLimits,
    emit: (command: Command) => void,
  ) {
    this.epoch = epoch;
    this.request = request;
    this.limits = limits;
    this.emit = emit;
    this.now_us = started_us.now;
    this.deadline = started_us.requested + request.timeout_us;
    for (const vm of vms) this.steps.set(vm, 'preparing');
    this.report({ kind: 'started', epoch, vms });
    this.emit({ kind: 'open-image', epoch, request, vms });
  }

  get hasEnded(): boolean {
    return this.phase === 'published' || this.phase === 'aborted';
  }

  /** Whoever asked for it knows how it ended; some may still clean up after it. */
  get isAnswered(): boolean {
    return this.hasEnded || this.isReported;
  }

  /** Whether a VM can be plugged in beside it: all frames that this attempt may record have been recorded. */
  get admitsVms(): boolean {
    return this.hasEnded || (this.phase !== 'aborting' && this.channelIsRecorded);
  }

  get deadline_us(): number {
    if (this.phase === 'publishing' || this.hasEnded || (this.phase === 'aborting' && this.isReported)) {
      return Number.POSITIVE_INFINITY;
    }
    return Math.min(this.deadline, this.cutDeadline);
  }

  handle(input: AttemptInput, now_us: number): void {
    // From an earlier attempt: its sender did not know yet that it is over.
    if (input.epoch !== this.epoch || this.hasEnded) return;
    this.now_us = now_us;
    if (this.phase === 'aborting') this.handleWhileAborting(input);
    else this.handleInOrder(input);
  }

  tick(now_us: number): void {
    if (now_us < this.deadline_us) return;
    this.now_us = now_us;
    if (this.phase === 'aborting') this.reportFailure(abortOverdue(this.failure, this.unanswered()));
    else if (this.cutDeadline < this.deadline) this.beginAbort(cutTimedOut(this.vmsAt('ready', 'cutting')));
    else this.beginAbort(requestTimedOut(this.request));
  }

  /** Ends it without a snapshot, unless the order to publish is out: that cannot be taken back. */
  abort(failure: SerializedError, now_us: number): void {
    if (this.phase === 'aborting' || this.phase === 'publishing' || this.hasEnded) return;
    this.now_us = now_us;
    this.beginAbort(failure);
  }

  /**
   * The VM is no more. What it has saved stays good, as a state of the past, once the channels are recorded; before
   * that, frames on their way to it are lost with it.
   */
  vmLeft(vm: VmName, failure: SerializedError, now_us: number): void {
    this.gone.add(vm);
    const isNeeded = this.mayStillFail(vm) || (this.steps.has(vm) && !this.channelIsRecorded);
    if (isNeeded) this.abort(vmFailed(vm, failure), now_us);
    this.abortingVms.delete(vm);
    this.settleAbort();
  }

  switchDied(failure: SerializedError, now_us: number): void {
    this.isSwitchGone = true;
    this.abort(failure, now_us);
    this.switchIsAborting = false;
    this.settleAbort();
  }

  private handleInOrder(input: AttemptInput): void {
    switch (input.kind) {
      case 'image-ready':
        this.prepare();
        break;
      case 'switch-ready':
        this.switchIsReady = true;
        this.startCutting();
        break;
      case 'vm-ready':
        this.vmReady(input.vm);
        break;
      case 'newer-marker':
      case 'held-full':
        if (this.phase === 'cutting') this.cut(input.vm, input.kind);
        break;
      case 'vm-cut':
        this.vmCut(input);
        break;
      case 'channel-recorded':
        this.channelRecorded(input);
        break;
      case 'vm-saved':
        this.vmSaved(input);
        break;
      case 'published':
        this.published();
        break;
      case 'vm-failed':
        if (this.mayStillFail(input.vm)) this.beginAbort(vmFailed(input.vm, input.failure));
        break;
      case 'image-failed':
      case 'channel-failed':
        // Unlike a wish to abort this counts in `publishing` too: the image says that it is not there.
        this.beginAbort(input.failure);
        break;
    }
  }

  private prepare(): void {
    if (this.phase !== 'opening') return;
    this.phase = 'preparing';
    this.emit({ kind: 'open-switch', epoch: this.epoch, mode: this.request.mode });
    for (const vm of this.steps.keys()) this.emit({ kind: 'prepare-vm', epoch: this.epoch, vm });
  }

  private startCutting(): void {
    if (this.phase !== 'preparing' || !this.switchIsReady || this.vmsAt('preparing').length > 0) return;
    this.phase = 'cutting';
    this.cutDeadline = this.now_us + this.limits.cutTimeout_us;
    this.cutNext();
  }

  private vmReady(vm: VmName): void {
    if (!this.advance(vm, ['preparing'], 'ready')) return;
    this.report({ kind: 'vm-ready', vm });
    this.startCutting();
  }

  private cutNext(): void {
    const free = this.limits.cutParallelism - this.vmsAt('cutting').length;
    if (free <= 0) return;
    for (const vm of this.vmsAt('ready').slice(0, free)) this.cut(vm, 'command');
  }

  private cut(vm: VmName, cause: CutCause): void {
    if (!this.advance(vm, ['ready'], 'cutting')) return;
    this.report({ kind: 'cut-commanded', vm, cause });
    this.emit({ kind: 'cut-vm', epoch: this.epoch, vm, cause });
  }

  private vmCut({ vm, cut }: Extract<Input, { kind: 'vm-cut' }>): void {
    // A VM of another host may have cut by itself, on a marker that came before our order: hence `ready`.
    if (this.phase !== 'cutting' || !this.advance(vm, ['ready', 'cutting'], 'saving')) return;
    this.report({ kind: 'vm-cut', vm, cut });
    this.emit({ kind: 'release-held', epoch: this.epoch, vm });
    this.emit({ kind: 'save-vm', epoch: this.epoch, vm });
    this.cutNext();
    if (this.vmsAt('ready', 'cutting').length > 0) return;
    this.phase = 'completing';
    this.cutDeadline = Number.POSITIVE_INFINITY;
    // Every frame that is popped from now on has a marker of this epoch: what has an older one is in the switch.
    this.emit({ kind: 'record-channel', epoch: this.epoch });
  }

  private channelRecorded({ frames }: Extract<Input, { kind: 'channel-recorded' }>): void {
    if (this.phase !== 'completing' || this.channelIsRecorded) return;
    this.channelIsRecorded = true;
    this.report({ kind: 'channel-recorded', frames });
    this.publishWhenComplete();
  }

  private vmSaved({ vm, saved }: Extract<Input, { kind: 'vm-saved' }>): void {
    if (!this.advance(vm, ['saving'], 'saved')) return;
    this.report({ kind: 'vm-saved', vm, saved });
    this.publishWhenComplete();
  }

  private publishWhenComplete(): void {
    if (this.phase !== 'completing' || !this.channelIsRecorded) return;
    if (this.vmsAt('saved').length < this.steps.size) return;
    this.phase = 'publishing';
    this.emit({ kind: 'publish', epoch: this.epoch });
  }

  private published(): void {
    if (this.phase !== 'publishing') return;
    this.phase = 'published';
    this.report({ kind: 'published', epoch: this.epoch });
  }

  private beginAbort(failure: SerializedError): void {
    const vmsWereAsked = this.phase !== 'opening';
    this.phase = 'aborting';
    this.failure = failure;
    this.deadline = this.now_us + this.limits.abortTimeout_us;
    this.cutDeadline = Number.POSITIVE_INFINITY;
    this.report({ kind: 'aborting', failure });
    // Always, even if no filter was opened: the ports enter every epoch that was given out, so that none is left behind.
    this.switchIsAborting = !this.isSwitchGone;
    this.emit({ kind: 'abort-switch', epoch: this.epoch });
    for (const vm of vmsWereAsked ? this.steps.keys() : []) {
      if (!this.gone.has(vm)) this.abortingVms.add(vm);
      this.emit({ kind: 'abort-vm', epoch: this.epoch, vm });
    }
    this.settleAbort();
  }

  private handleWhileAborting(input: AttemptInput): void {
    if (input.kind === 'vm-aborted') this.abortingVms.delete(input.vm);
    else if (input.kind === 'switch-aborted') this.switchIsAborting = false;
    else if (input.kind === 'image-discarded' && this.imageIsDiscarding) {
      this.phase = 'aborted';
      this.reportFailure(this.failure as SerializedError);
      return;
    }
    this.settleAbort();
  }

  /** The VMs close their files in the image first; then it can be removed. */
  private settleAbort(): void {
    if (this.phase !== 'aborting' || this.imageIsDiscarding) return;
    if (this.switchIsAborting || this.abortingVms.size > 0) return;
    this.imageIsDiscarding = true;
    this.emit({ kind: 'discard-image', epoch: this.epoch });
  }

  private unanswered(): string[] {
    const parties = [...this.abortingVms].map(vm => `VM "${vm}"`);
    if (this.switchIsAborting) parties.push('the network switch');
    if (this.imageIsDiscarding) parties.push('the image store');
    return parties;
  }

  private reportFailure(failure: SerializedError): void {
    if (this.isReported) return;
    this.isReported = true;
    this.report({ kind: 'failed', failure });
  }

  private mayStillFail(vm: VmName): boolean {
    const step = this.steps.get(vm);
    return step !== undefined && step !== 'saved';
  }

  private vmsAt(...steps: Step[]): VmName[] {
    return [...this.steps].filter(([, step]) => steps.includes(step)).map(([vm]) => vm);
  }

  /** False for a duplicate, or for a VM that is no part of this attempt. */
  private advance(vm: VmName, from: readonly Step[], to: Step): boolean {
    const step = this.steps.get(vm);
    if (step === undefined || !from.includes(step)) return false;
    this.steps.set(vm, to);
    return true;
  }

  private report(event: EventBody): void {
    this.emit({
      kind: 'report',
      event: { ...event, at_us: this.now_us, request: this.request } as SnapshotEvent,
    });
  }
}
