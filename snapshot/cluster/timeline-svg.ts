import { element, escapeText, formatSpan, ticks } from './svg.ts';
import type { SnapshotTimeline, VmTimeline } from './timeline.ts';

const WIDTH = 960;
const LEFT = 150;
const RIGHT = 210;
const ROW = 26;
const BAR = 14;
const PANEL_TOP = 58;
const PANEL_BOTTOM = 34;
const TITLE = 64;
const MAXIMUM_LABEL = 18;

/**
 * Colours of a light page, and of a dark one where the viewer prefers that; each also differs by its shape (full,
 * hatched, outlined), so that nothing hangs on colour alone.
 */
const STYLE = `
svg{--paper:#fff;--ink:#1f2328;--quiet:#59636e;--line:#d1d9e0;--pause:#c4432b;--held:#9a6700;--save:#0969da;--prepare:#818b98}
@media(prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#f0f6fc;--quiet:#9198a1;--line:#3d444d;--pause:#ff8370;--held:#e3b341;--save:#58a6ff;--prepare:#7d8590}}
text{font:12px system-ui,sans-serif;fill:var(--ink)}.title{font-size:16px;font-weight:600}.panel{font-weight:600}
.quiet{fill:var(--quiet)}.end{text-anchor:end}.middle{text-anchor:middle}
.grid{stroke:var(--line)}.paper{fill:var(--paper)}.pause{fill:var(--pause)}.save{fill:var(--save)}
.prepare{fill:none;stroke:var(--prepare)}.held{fill:url(#hatch);stroke:var(--held)}.hatch{stroke:var(--held);stroke-width:2}
.mark{stroke:var(--ink);stroke-width:2}.event{stroke:var(--ink);stroke-dasharray:3 3}`;

interface Scale {
  readonly from_us: number;
  readonly to_us: number;
  x(instant_us: number): number;
}

/**
 * A picture of one snapshot in two panels with a row per VM: the cut, in which each VM stands still for a moment and
 * frames are held; and the whole, in which memory is saved. `timeline` may come from a file: text in it is escaped.
 */
export function renderTimeline(timeline: SnapshotTimeline): string {
  const panelHeight = PANEL_TOP + timeline.vms.length * ROW + PANEL_BOTTOM;
  const height = TITLE + 2 * panelHeight + 12;
  return element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: `0 0 ${WIDTH} ${height}`,
      width: WIDTH,
      height,
      role: 'img',
      'aria-labelledby': 'title description',
    },
    element('title', { id: 'title' }, escapeText(`Snapshot ${timeline.name}, epoch ${timeline.epoch}`)),
    element('desc', { id: 'description' }, escapeText(describe(timeline))),
    element('style', {}, STYLE),
    hatchPattern(),
    element('rect', { class: 'paper', width: WIDTH, height, rx: 6 }),
    text(16, 28, `Snapshot ${timeline.name}`, 'title'),
    text(16, 48, summary(timeline), 'quiet'),
    element('g', { transform: `translate(0 ${TITLE})` }, ...cutPanel(timeline)),
    element('g', { transform: `translate(0 ${TITLE + panelHeight})` }, ...wholePanel(timeline)),
  );
}

/** What the picture shows, for who cannot see it. */
function describe(timeline: SnapshotTimeline): string {
  const vms = timeline.vms.map(
    vm =>
      `${vm.name} stood still for ${formatSpan(vm.downtime_us)}, ${vm.held_count} frames held for it, ` +
      `${vm.dropped_count} dropped, ${vm.recorded_count} recorded, saved after ${formatSpan(vm.saved_us)}.`,
  );
  return [summary(timeline), ...vms].join(' ');
}

function summary({ epoch, mode, cut_skew_us, logical_us, complete_us, frames }: SnapshotTimeline): string {
  const parts = [
    `epoch ${epoch}`,
    `filter ${mode}`,
    `cut after ${formatSpan(logical_us)}, skew ${formatSpan(cut_skew_us)}`,
    `complete after ${formatSpan(complete_us)}`,
    `${frames.held_count} held, ${frames.dropped_count} dropped, ${frames.recorded_count} recorded`,
  ];
  return parts.join(' · ');
}

function cutPanel({ vms, mode }: SnapshotTimeline): string[] {
  const firstCut_us = Math.min(...vms.map(vm => vm.crossed_us));
  const from_us = Math.min(...vms.map(vm => vm.suspended_us));
  const scale = scaleOf(from_us, Math.max(...vms.map(vm => vm.resumed_us)), 0.04);
  const keptBack = { hold: 'newer frames are held', drop: 'newer frames are dropped', off: '' }[mode];
  const rows = vms.map((vm, row) => {
    const y = rowTop(row);
    return [
      label(vm, y),
      ...(mode === 'off'
        ? []
        : span(scale, firstCut_us, vm.crossed_us, y, 'held', `${vm.name}: ${keptBack}`)),
      ...span(scale, vm.suspended_us, vm.resumed_us, y + 3, 'pause', `${vm.name} stands still`, BAR - 6),
      tick(scale.x(vm.crossed_us), y - 2, y + BAR + 2, 'mark'),
      text(
        WIDTH - RIGHT + 12,
        y + 11,
        `${formatSpan(vm.downtime_us)} · ${mode === 'drop' ? `${vm.dropped_count} dropped` : `${vm.held_count} held`} · ${vm.recorded_count} rec.`,
        'quiet',
      ),
    ].join('');
  });
  const legend = [
    ['pause', 'stands still'],
    ['mark', 'its cut'],
    ...(mode === 'off' ? [] : [['held', keptBack] as const]),
  ] as const;
  return [...frame('The cut', scale, vms.length, legend, from_us), ...rows];
}

function wholePanel({ vms, started_us, complete_us, channel_recorded_us }: SnapshotTimeline): string[] {
  const scale = scaleOf(0, complete_us, 0.02);
  const rows = vms.map((vm, row) => {
    const y = rowTop(row);
    return [
      label(vm, y),
      ...span(scale, started_us, vm.ready_us, y, 'prepare', `${vm.name} is prepared`),
      ...span(scale, vm.resumed_us, vm.saved_us, y, 'save', `${vm.name} is saved`),
      ...span(scale, vm.suspended_us, vm.resumed_us, y, 'pause', `${vm.name} stands still`),
      text(WIDTH - RIGHT + 12, y + 11, `saved after ${formatSpan(vm.saved_us)}`, 'quiet'),
    ].join('');
  });
  const legend = [
    ['prepare', 'prepares'],
    ['pause', 'stands still'],
    ['save', 'saves'],
    ['event', 'channels recorded'],
  ] as const;
  const bottom = PANEL_TOP + vms.length * ROW;
  return [
    ...frame('The whole snapshot', scale, vms.length, legend, 0),
    ...rows,
    tick(scale.x(channel_recorded_us), PANEL_TOP - 6, bottom, 'event'),
  ];
}

/** Heading, legend, grid and axis; the axis counts from `zero_us`. */
function frame(
  heading: string,
  scale: Scale,
  rowCount: number,
  legend: readonly (readonly [kind: string, meaning: string])[],
  zero_us: number,
): string[] {
  const bottom = PANEL_TOP + rowCount * ROW;
  const grid = ticks(scale.from_us - zero_us, scale.to_us - zero_us, 8).flatMap(tick_us => {
    const x = scale.x(zero_us + tick_us);
    return [
      tick(x, PANEL_TOP - 6, bottom, 'grid'),
      text(x, bottom + 16, formatSpan(tick_us), 'quiet middle'),
    ];
  });
  const keys = legend.map(([kind, meaning], index) => {
    const x = LEFT + index * 160;
    const shape =
      kind === 'mark' || kind === 'event'
        ? tick(x + 10, 26, 42, kind)
        : element('rect', { class: kind, x, y: 28, width: 20, height: 12 });
    return shape + text(x + 27, 38, meaning, 'quiet');
  });
  return [text(16, 16, heading, 'panel'), ...keys, ...grid];
}

function scaleOf(from_us: number, to_us: number, margin: number): Scale {
  const span_us = Math.max(to_us - from_us, 1);
  const start_us = from_us - margin * span_us;
  const perUs = (WIDTH - LEFT - RIGHT) / (span_us * (1 + 2 * margin));
  return {
    from_us: start_us,
    to_us: to_us + margin * span_us,
    x: instant_us => LEFT + (instant_us - start_us) * perUs,
  };
}

/** A bar; nothing if there is nothing to show, and never too narrow to be seen. */
function span(
  scale: Scale,
  from_us: number,
  to_us: number,
  y: number,
  kind: string,
  meaning: string,
  height = BAR,
): string[] {
  if (to_us <= from_us) return [];
  const x = scale.x(from_us);
  const width = Math.max(scale.x(to_us) - x, 1.5);
  const title = element('title', {}, escapeText(`${meaning}: ${formatSpan(to_us - from_us)}`));
  return [element('rect', { class: kind, x, y, width, height }, title)];
}

function label({ name }: VmTimeline, y: number): string {
  const short = name.length > MAXIMUM_LABEL ? `${name.slice(0, MAXIMUM_LABEL - 1)}…` : name;
  return text(LEFT - 12, y + 11, short, 'end');
}

const rowTop = (row: number) => PANEL_TOP + row * ROW + (ROW - BAR) / 2;

const tick = (x: number, y1: number, y2: number, kind: string) =>
  element('line', { class: kind, x1: x, x2: x, y1, y2 });

const text = (x: number, y: number, content: string, kind: string) =>
  element('text', { x, y, class: kind }, escapeText(content));

const hatchPattern = () =>
  element(
    'pattern',
    { id: 'hatch', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    element('line', { class: 'hatch', x1: 0, x2: 0, y1: 0, y2: 6 }),
  );
