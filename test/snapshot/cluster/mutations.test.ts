/** The simulation's oracle is only worth something if it notices broken rules: each of these must be caught. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ChannelState } from '../../../snapshot/cluster/channel.ts';
import { FilterMode, filterFrame, Verdict } from '../../../snapshot/cluster/filter.ts';
import { HeldQueue, type MarkedFrame } from './simulation/held-queue.ts';
import { MarkerGate, type VisitWaiting } from './simulation/marker-gate.ts';
import type { SimulatedFrame } from './simulation/oracle.ts';
import { type Rules, soundRules } from './simulation/rules.ts';
import { run } from './simulation/run.ts';
import { scenarioOf } from './simulation/scenario.ts';

const SEEDS = 5_000;
const test = suite('oracle of the epoch simulation');

/** A queue that gives the newest first. */
class Stack<Frame extends MarkedFrame> extends HeldQueue<Frame> {
  private readonly stack: Frame[] = [];
  override push(frame: Frame): boolean {
    const isTaken = super.push(frame);
    if (isTaken) this.stack.push(frame);
    return isTaken;
  }
  override get head(): Frame | undefined {
    return this.stack.at(-1);
  }
  override shift(): void {
    super.shift();
    this.stack.pop();
  }
}

/** Goes on recording after the drain. */
class LeakyGate extends MarkerGate {
  override drain(epoch: number, visitWaiting: VisitWaiting): ChannelState | undefined {
    const channel = super.drain(epoch, visitWaiting);
    if (channel !== undefined) Reflect.set(this, 'recordingEpoch', epoch);
    return channel;
  }
}

const filteringBy = (filter: typeof filterFrame): Partial<Rules> => ({
  newGate: listener => new MarkerGate(listener, filter),
});

/** What is broken, how, and what the oracle is to say about it. */
const mutations: [what: string, broken: Partial<Rules>, complaint: RegExp][] = [
  [
    'a filter that is off',
    filteringBy(() => Verdict.deliver),
    /received before the cut and sent after it|not recorded/,
  ],
  [
    'a filter that compares with >= instead of >',
    filteringBy((frame, receiver, mode, recording) =>
      filterFrame(
        frame === receiver && mode !== FilterMode.off ? frame + 1 : frame,
        receiver,
        mode,
        recording,
      ),
    ),
    /kept back|never arrived|left in the switch/,
  ],
  [
    'a filter that compares the wrong way round',
    filteringBy((frame, receiver, mode, recording) => filterFrame(receiver, frame, mode, recording)),
    /kept back|received before the cut/,
  ],
  [
    'a filter that lets newer frames through',
    filteringBy((frame, receiver, mode, recording) =>
      filterFrame(Math.min(frame, receiver), receiver, mode, recording),
    ),
    /received before the cut and sent after it/,
  ],
  [
    'a filter that drops instead of holding',
    filteringBy((frame, receiver, mode, recording) =>
      filterFrame(frame, receiver, mode === FilterMode.hold ? FilterMode.drop : mode, recording),
    ),
    /expects|dropped by the filter|heard something else/,
  ],
  [
    'a filter that never records',
    filteringBy((frame, receiver, mode, recording) =>
      filterFrame(frame, receiver, mode, recording) === Verdict.record
        ? Verdict.deliver
        : filterFrame(frame, receiver, mode, recording),
    ),
    /in flight at the cut, but is not recorded/,
  ],
  [
    'a filter that records equal markers too',
    filteringBy((frame, receiver, mode, recording) =>
      frame >= 0 && frame === receiver && frame === recording
        ? Verdict.record
        : filterFrame(frame, receiver, mode, recording),
    ),
    /sent after the cut, but is recorded/,
  ],
  [
    'a filter that takes the outside for the newest epoch',
    filteringBy((frame, receiver, mode, recording) =>
      filterFrame(frame < 0 && mode !== FilterMode.off ? receiver + 1 : frame, receiver, mode, recording),
    ),
    /kept back/,
  ],
  [
    'holding in the wrong order',
    { newHeldQueue: limits => new Stack<SimulatedFrame>(limits) },
    /received (after|twice)|expects/,
  ],
  ['newer frames overtaking held ones', { deliversHeldFirst: false }, /is received after|expects/],
  [
    'a verdict that is older than the delivery',
    { judgesAtDelivery: false },
    /not recorded|received before the cut/,
  ],
  [
    'a drain that forgets the delayed frames',
    { drains: { held: true, backlog: true, delayed: false } },
    /not recorded/,
  ],
  [
    'a drain that forgets the backlog',
    { drains: { held: true, backlog: false, delayed: true } },
    /not recorded/,
  ],
  [
    'a drain that forgets the held frames',
    { drains: { held: false, backlog: true, delayed: true } },
    /not recorded/,
  ],
  [
    'a recording that goes on after the drain',
    { newGate: listener => new LeakyGate(listener) },
    /recorded twice/,
  ],
  [
    'ports that cross after the VM runs again',
    { crossesAtCut: false },
    /recorded|received before the cut|kept back/,
  ],
  [
    'a second NIC that crosses later',
    { crossesAllPorts: false },
    /recorded|received before the cut|kept back/,
  ],
  [
    'NICs that stay open in the pause',
    { locksWhilePaused: false },
    /recorded|received before the cut|kept back/,
  ],
  ['an abort that leaves ports in the old epoch', { abortRaisesPorts: false }, /kept back|expects|left in/],
  [
    'an abort that goes on holding',
    { abortEndsHolding: false, abortRaisesPorts: false },
    /which is over|kept back|left in/,
  ],
  ['an abort that loses the held frames', { abortDeliversHeld: false }, /expects|never arrived|not recorded/],
];

for (const [what, broken, complaint] of mutations) {
  test(`notices ${what}`, () => {
    const rules = { ...soundRules, ...broken };
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violation } = run(scenarioOf(seed), rules);
      if (violation === undefined) continue;
      if (process.env.VERBOSE) console.log(`${what}: seed ${seed}: ${violation}`);
      assert.match(violation, complaint);
      return;
    }
    assert.unreachable(`${SEEDS} seeds without a complaint`);
  });
}

test('finds nothing wrong with the sound rules', () => {
  for (let seed = 1; seed <= 100; seed++) assert.is(run(scenarioOf(seed), soundRules).violation, undefined);
});

for (const [what, broken] of mutations) {
  if (!/filter that (lets|never)|forgets the (delayed|backlog)|older than/.test(what)) continue;
  test(`shows a restored cluster that contradicts itself after ${what}`, () => {
    const rules = { ...soundRules, ...broken };
    const isCaught = (seed: number) =>
      run(scenarioOf(seed), rules, { isBlind: true }).violation !== undefined;
    let seed = 1;
    while (seed <= SEEDS && !isCaught(seed)) seed++;
    assert.ok(seed <= SEEDS, `${SEEDS} seeds without a contradiction`);
  });
}

test('sees the filter mode `off` for what it is', () => {
  const violations = new Set<string>();
  for (let seed = 1; seed <= 100; seed++) {
    const { violation } = run({ ...scenarioOf(seed), mode: 'off' }, soundRules);
    violations.add(violation?.replace(/.*: \d+ /, '') ?? 'none');
  }
  assert.ok(violations.has('was received before the cut and sent after it'), [...violations].join('; '));
});

test.run();
