import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as v from 'valibot';
import type { SnapshotEvent } from '../../../snapshot/cluster/protocol.ts';
import { formatSpan, ticks } from '../../../snapshot/cluster/svg.ts';
import { type SnapshotTimeline, TimelineBuilder } from '../../../snapshot/cluster/timeline.ts';
import { timelineSchema } from '../../../snapshot/cluster/timeline-schema.ts';
import { renderTimeline } from '../../../snapshot/cluster/timeline-svg.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { saveReport } from './support.ts';

const test = suite('timeline');

const request = { id: 1, name: 's1', mode: 'hold', timeout_us: 1_000_000 } as const;
const cutOf = (suspended_us: number, crossed_us: number, resumed_us: number) => ({
  suspended_us,
  crossed_us,
  resumed_us,
  kick_us: 10,
  state_us: 20,
  arm_us: 30,
});
/** The request came at 1 000 µs. */
const events: SnapshotEvent[] = [
  { kind: 'queued', at_us: 1_000, request },
  { kind: 'started', at_us: 1_100, request, epoch: 3, vms: ['a', 'b'] },
  { kind: 'vm-ready', at_us: 1_200, request, vm: 'a' },
  { kind: 'vm-ready', at_us: 1_300, request, vm: 'b' },
  { kind: 'cut-commanded', at_us: 1_310, request, vm: 'a', cause: 'command' },
  { kind: 'vm-cut', at_us: 1_700, request, vm: 'a', cut: cutOf(1_400, 1_500, 1_600) },
  { kind: 'cut-commanded', at_us: 1_510, request, vm: 'b', cause: 'newer-marker' },
  { kind: 'vm-cut', at_us: 2_000, request, vm: 'b', cut: cutOf(1_550, 1_750, 1_950) },
  {
    kind: 'channel-recorded',
    at_us: 2_100,
    request,
    frames: new Map([['b', { held_count: 4, dropped_count: 0, recorded_count: 2 }]]),
  },
  { kind: 'vm-saved', at_us: 5_000, request, vm: 'b', saved: saveReport },
  { kind: 'vm-saved', at_us: 6_000, request, vm: 'a', saved: saveReport },
];

function built(list = events): SnapshotTimeline {
  const builder = new TimelineBuilder();
  for (const event of list) builder.add(event);
  return builder.build(6_100);
}

test('TimelineBuilder: counts instants from the request, and tells cut skew and logical time', () => {
  const timeline = built();
  assert.is(timeline.started_us, 100);
  assert.is(timeline.cut_skew_us, 250);
  assert.is(timeline.logical_us, 750);
  assert.is(timeline.channel_recorded_us, 1_100);
  assert.is(timeline.complete_us, 5_100);
  assert.equal(timeline.frames, { held_count: 4, dropped_count: 0, recorded_count: 2 });
  const [a, b] = timeline.vms;
  assert.equal([a?.name, a?.downtime_us, a?.held_count, a?.saved_us], ['a', 200, 0, 5_000]);
  assert.equal([b?.name, b?.downtime_us, b?.held_count, b?.cut_cause], ['b', 400, 4, 'newer-marker']);
});

test('TimelineBuilder: has nothing to show of what is not complete', () => {
  for (let missing = 1; missing < events.length; missing++) {
    if (events[missing]?.kind === 'cut-commanded') continue;
    assert.throws(
      () => built(events.filter((_, index) => index !== missing)),
      (error: unknown) => error instanceof TsvmmError && error.code === 'TSVMM_E_INTERNAL',
    );
  }
});

test('TimelineBuilder: a VM that cut by itself was told by a marker', () => {
  const timeline = built(events.filter(event => event.kind !== 'cut-commanded'));
  assert.equal(
    timeline.vms.map(vm => vm.cut_cause),
    ['newer-marker', 'newer-marker'],
  );
});

test('timelineSchema: takes what the builder made, after JSON', () => {
  const timeline = built();
  assert.equal(v.parse(timelineSchema, JSON.parse(JSON.stringify(timeline))), timeline);
});

test('timelineSchema: refuses what it does not know, and numbers that are none', () => {
  const timeline = built();
  const broken: unknown[] = [
    null,
    { ...timeline, vms: [] },
    { ...timeline, vms: Array(4097).fill(timeline.vms[0]) },
    { ...timeline, extra: 1 },
    { ...timeline, mode: 'maybe' },
    { ...timeline, complete_us: null },
    { ...timeline, complete_us: Number.NaN },
    { ...timeline, logical_us: 1e300 },
    { ...timeline, cut_skew_us: -1 },
    { ...timeline, name: 'x'.repeat(300) },
    { ...timeline, vms: [{ ...timeline.vms[0], saved: {} }] },
  ];
  for (const json of broken) assert.not.ok(v.safeParse(timelineSchema, json).success, JSON.stringify(json));
});

/** Checks that tags nest and that no attribute or text holds a bare < or &. */
function assertWellFormed(svg: string): void {
  const open: string[] = [];
  let rest = svg;
  while (rest !== '') {
    const tag = /^<(\/?)([a-z]+)((?: [a-zA-Z-]+[a-zA-Z0-9-]*="[^"<>]*")*)(\/?)>/.exec(rest);
    const text = /^[^<>]+/.exec(rest);
    assert.ok(tag ?? text, `not well-formed at: ${rest.slice(0, 60)}`);
    const [matched, close, name, , selfClosing] = tag ?? [text?.[0] ?? ''];
    assert.not.match(matched.replace(/&#\d+;/g, ''), /&/);
    if (tag && close) assert.is(open.pop(), name);
    else if (tag && !selfClosing) open.push(name as string);
    rest = rest.slice(matched.length);
  }
  assert.equal(open, []);
}

test('renderTimeline: draws a row per VM in both panels, readable without seeing it', () => {
  const svg = renderTimeline(built());
  assertWellFormed(svg);
  assert.match(svg, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" viewBox="0 0 960 \d+"/);
  assert.match(svg, /role="img" aria-labelledby="title description"/);
  assert.match(svg, /<desc id="description">[^<]*b stood still for 400 µs, 4 frames held for it/);
  assert.match(svg, /prefers-color-scheme:dark/);
  assert.is(svg.match(/>a<\/text>/g)?.length, 2);
  assert.match(svg, /newer frames are held: 250 µs/);
  assert.not.match(svg, /NaN|undefined|Infinity/);
});

test('renderTimeline: says dropped in drop mode, and neither when the filter is off', () => {
  assert.match(renderTimeline({ ...built(), mode: 'drop' }), /newer frames are dropped/);
  assert.not.match(renderTimeline({ ...built(), mode: 'off' }), /newer frames/);
});

test('renderTimeline: escapes text, and survives a timeline without extent', () => {
  const timeline = built();
  const [vm] = timeline.vms as [SnapshotTimeline['vms'][number]];
  const nothing = { suspended_us: 0, crossed_us: 0, resumed_us: 0, ready_us: 0, saved_us: 0, downtime_us: 0 };
  const name = `<script>"&'\u0000${'x'.repeat(100)}`;
  const svg = renderTimeline({
    ...timeline,
    name,
    started_us: 0,
    complete_us: 0,
    channel_recorded_us: 0,
    vms: [{ ...vm, ...nothing, name }],
  });
  assertWellFormed(svg);
  assert.not.match(svg, /<script|NaN/);
  assert.not.ok(svg.includes('\u0000'));
});

test('formatSpan: shows three digits in the unit that fits', () => {
  assert.equal([0, 999, 1_000, 412_345, 12_345_678].map(formatSpan), [
    '0 µs',
    '999 µs',
    '1 ms',
    '412 ms',
    '12.3 s',
  ]);
});

test('ticks: gives some round values inside of the range', () => {
  assert.equal(ticks(0, 1_000, 5), [0, 200, 400, 600, 800, 1_000]);
  assert.equal(ticks(-3, 12, 4), [0, 5, 10]);
  assert.ok(ticks(0, 1e15, 8).length <= 9);
});

test.run();
