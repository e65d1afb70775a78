import * as v from 'valibot';

/** Instants and spans in microseconds, counts, bytes: all far below 2^53. An instant may lie before the request. */
const instant = v.pipe(
  v.number(),
  v.finite(),
  v.minValue(-Number.MAX_SAFE_INTEGER),
  v.maxValue(Number.MAX_SAFE_INTEGER),
);
const amount = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(256));

const frames = { held_count: amount, dropped_count: amount, recorded_count: amount };

const vm = v.strictObject({
  name,
  ready_us: instant,
  cut_cause: v.picklist(['command', 'newer-marker', 'held-full']),
  commanded_us: instant,
  suspended_us: instant,
  crossed_us: instant,
  resumed_us: instant,
  saved_us: instant,
  downtime_us: amount,
  kick_us: amount,
  state_us: amount,
  arm_us: amount,
  ...frames,
  saved: v.strictObject({
    pages_total: amount,
    pages_zero: amount,
    pages_inherited: v.exactOptional(amount),
    pages_eager: amount,
    pages_active: amount,
    cow_faults: amount,
    vmm_write_saves: amount,
    fallbacks: amount,
    memory_bytes: amount,
    disk_bytes: amount,
  }),
});

/** A SnapshotTimeline that was read from a snapshot. */
export const timelineSchema = v.strictObject({
  name,
  epoch: amount,
  mode: v.picklist(['hold', 'drop', 'off']),
  started_us: instant,
  cut_skew_us: amount,
  logical_us: instant,
  channel_recorded_us: instant,
  complete_us: instant,
  frames: v.strictObject(frames),
  vms: v.pipe(v.array(vm), v.minLength(1), v.maxLength(4096)),
});
