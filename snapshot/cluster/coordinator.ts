import type { SerializedError } from '../../vmm/errors.ts';
import { Attempt, type AttemptLimits } from './attempt.ts';
import { abortedByUser, epochsUsedUp, nameTaken, noVms, queueFull, requestTimedOut } from './failures.ts';
import { MAXIMUM_EPOCH } from './filter.ts';
import type { Command, Input, SnapshotRequest, VmName } from './protocol.ts';

export interface CoordinatorOptions extends AttemptLimits {
  /** The epoch the cluster is in: 0 for a fresh one, the snapshot's for a restored one. */
  readonly epoch: number;
  readonly vms: readonly VmName[];
  /** Requests that may wait behind the one under way. */
  readonly maximumQueued: number;
}

export const defaultLimits = {
  cutTimeout_us: 10_000_000,
  abortTimeout_us: 5_000_000,
  cutParallelism: Number.POSITIVE_INFINITY,
  maximumQueued: 16,
} as const;

interface Queued {
  readonly request: SnapshotRequest;
  readonly requested_us: number;
}

/**
 * The coordinator of cluster snapshots: who is in the cluster, which requests wait, which attempt is under way. It
 * does no I/O, reads no clock and draws no random numbers: the same inputs at the same times give the same commands.
 *
 * Each attempt uses up an epoch number, whether it succeeds or not, and all ports enter it. So a marker names one
 * attempt for ever, and a frame that was sent in an aborted one is just an old frame to those that follow.
 */
export class Coordinator {
  private readonly options: CoordinatorOptions;
  private readonly members: Set<VmName>;
  /** VMs that want to be let in, and VMs that have been, but are not plugged in yet. */
  private readonly joining = new Set<VmName>();
  private readonly admitted = new Set<VmName>();
  private readonly queue: Queued[] = [];
  private lastEpoch: number;
  private lastRequestId = Number.NEGATIVE_INFINITY;
  private attempt: Attempt | undefined;
  private switchFailure: SerializedError | undefined;
  private commands: Command[] = [];

  constructor(options: CoordinatorOptions) {
    this.options = options;
    this.lastEpoch = options.epoch;
    this.members = new Set(options.vms);
  }

  /** The last epoch given out: that of the attempt under way, else the one in which every port is. */
  get epoch(): number {
    return this.lastEpoch;
  }

  get isIdle(): boolean {
    return this.attempt === undefined && this.queue.length === 0;
  }

  /** When it wants a `tick`, if nothing else happens; infinite when never. */
  get deadline_us(): number {
    return this.queue.reduce(
      (earliest, queued) => Math.min(earliest, queueDeadline(queued)),
      this.attempt?.deadline_us ?? Number.POSITIVE_INFINITY,
    );
  }

  /** Takes one input at `now_us`, which must not go back; answers what is to be done, in this order. */
  handle(input: Input, now_us: number): readonly Command[] {
    this.commands = [];
    this.take(input, now_us);
    this.attempt?.tick(now_us);
    this.expireQueued(now_us);
    this.moveOn(now_us);
    return this.commands;
  }

  private take(input: Input, now_us: number): void {
    switch (input.kind) {
      case 'snapshot-requested':
        this.requested(input.request, now_us);
        break;
      case 'abort-requested':
        this.abortRequested(input.id, now_us);
        break;
      case 'vm-joining':
        if (!this.members.has(input.vm) && !this.admitted.has(input.vm)) this.joining.add(input.vm);
        break;
      case 'vm-joined':
        if (this.admitted.delete(input.vm)) this.members.add(input.vm);
        break;
      case 'vm-left':
        this.members.delete(input.vm);
        this.joining.delete(input.vm);
        this.admitted.delete(input.vm);
        this.attempt?.vmLeft(input.vm, input.failure, now_us);
        break;
      case 'switch-died':
        this.switchFailure = input.failure;
        this.attempt?.switchDied(input.failure, now_us);
        break;
      case 'tick':
        break;
      default:
        this.attempt?.handle(input, now_us);
    }
  }

  private requested(request: SnapshotRequest, now_us: number): void {
    if (request.id <= this.lastRequestId) return;
    this.lastRequestId = request.id;
    const obstacle = this.obstacleToQueueing(request);
    if (obstacle !== undefined) {
      this.refuse(request, obstacle, now_us);
      return;
    }
    this.queue.push({ request, requested_us: now_us });
    this.commands.push({ kind: 'report', event: { kind: 'queued', at_us: now_us, request } });
  }

  private obstacleToQueueing({ name }: SnapshotRequest): SerializedError | undefined {
    const { attempt } = this;
    // What has failed gives its name back, though the next one waits until everything of it is cleaned up.
    const pending = attempt === undefined || attempt.isAnswered ? [] : [attempt.request];
    const names = [...pending, ...this.queue.map(({ request }) => request)].map(request => request.name);
    if (names.includes(name)) return nameTaken(name);
    return this.queue.length >= this.options.maximumQueued ? queueFull(this.queue.length) : undefined;
  }

  private abortRequested(id: number, now_us: number): void {
    if (this.attempt?.request.id === id) this.attempt.abort(abortedByUser, now_us);
    this.removeQueued(queued => queued.request.id === id, abortedByUser, now_us);
  }

  private expireQueued(now_us: number): void {
    for (const expired of this.queue.filter(queued => queueDeadline(queued) <= now_us))
      this.removeQueued(queued => queued === expired, requestTimedOut(expired.request), now_us);
  }

  /** Ends what has ended, lets VMs in when that disturbs nobody, and begins what waits. */
  private moveOn(now_us: number): void {
    for (;;) {
      if (this.attempt?.hasEnded) this.attempt = undefined;
      if (this.attempt === undefined || this.attempt.admitsVms) this.admit();
      // A VM that is let in gets the epoch of now: it must be there before that can change.
      if (this.attempt !== undefined || this.admitted.size > 0) return;
      const next = this.queue.shift();
      if (next === undefined) return;
      const obstacle = this.obstacleToBegin();
      if (obstacle === undefined) this.begin(next, now_us);
      else this.refuse(next.request, obstacle, now_us);
    }
  }

  private admit(): void {
    for (const vm of this.joining) {
      this.admitted.add(vm);
      this.commands.push({ kind: 'admit-vm', vm, epoch: this.lastEpoch });
    }
    this.joining.clear();
  }

  private obstacleToBegin(): SerializedError | undefined {
    if (this.switchFailure !== undefined) return this.switchFailure;
    if (this.members.size === 0) return noVms;
    return this.lastEpoch >= MAXIMUM_EPOCH ? epochsUsedUp : undefined;
  }

  private begin({ request, requested_us }: Queued, now_us: number): void {
    this.lastEpoch++;
    this.attempt = new Attempt(
      this.lastEpoch,
      request,
      [...this.members],
      { now: now_us, requested: requested_us },
      this.options,
      command => this.commands.push(command),
    );
  }

  private removeQueued(matches: (queued: Queued) => boolean, failure: SerializedError, now_us: number): void {
    const index = this.queue.findIndex(matches);
    const [removed] = index < 0 ? [] : this.queue.splice(index, 1);
    if (removed !== undefined) this.refuse(removed.request, failure, now_us);
  }

  private refuse(request: SnapshotRequest, failure: SerializedError, now_us: number): void {
    this.commands.push({ kind: 'report', event: { kind: 'failed', at_us: now_us, request, failure } });
  }
}

const queueDeadline = ({ request, requested_us }: Queued) => requested_us + request.timeout_us;
