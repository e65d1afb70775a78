import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { JointPause } from '../../../snapshot/transient/joint-pause.ts';
import { type PauseOutcome, pauseAlone, pauseTogether } from '../../../snapshot/transient/pause-together.ts';
import { type Behaviour, fakePause } from './pauses.ts';

const test = suite('pauses together');

/** Pauses a, b, c ... together; what was done, and how it ended for each: a number, or what it says. */
function together(behaviours: readonly Behaviour[]): { log: string[]; ended: unknown[] } {
  const log: string[] = [];
  const pauses = behaviours.map((behaviour, index) => fakePause(log, 'abcd'.charAt(index), index, behaviour));
  return { log, ended: pauseTogether(pauses).map(endOf) };
}

const endOf = (outcome: PauseOutcome) =>
  outcome.status === 'fulfilled' ? outcome.value.downtime_us : outcome.reason.message;

/** The steps of one VM, in their order. */
const stepsOf = (log: readonly string[], name: string) =>
  log.filter(line => line.startsWith(name)).map(line => line.slice(2));
const ALL_STEPS = ['rehearse', 'make room', 'stop', 'freeze', 'cross', 'finish'];

test('all rehearse and have room before anybody is asked to stop, and all are asked before anybody is frozen', () => {
  const { log, ended } = together([{}, {}, {}]);
  assert.equal(ended, [0, 1, 2]);
  assert.equal(
    log.slice(0, 9),
    ['rehearse', 'make room', 'stop'].flatMap(step => ['a', 'b', 'c'].map(name => `${name} ${step}`)),
  );
  for (const name of ['a', 'b', 'c']) assert.equal(stepsOf(log, name), ALL_STEPS);
});

test('whoever has stopped does not wait for who has not: captured ones first, then stopped ones', () => {
  const { log, ended } = together([{ looks: 5 }, { looksToCapture: 9 }, {}]);
  assert.equal(ended, [0, 1, 2]);
  assert.equal(
    log.filter(line => line.endsWith('freeze')),
    ['c freeze', 'b freeze', 'a freeze'],
  );
});

test('one that never stops fails alone, when it is overdue; the others were let go before', () => {
  const { log, ended } = together([
    { looks: Number.POSITIVE_INFINITY, patience: 50, fails: 'freeze' },
    { looks: 3 },
  ]);
  assert.equal(ended, ['a freeze', 1]);
  assert.ok(log.indexOf('b cross') < log.indexOf('a freeze'));
  assert.not.ok(log.includes('a cross'));
  assert.not.ok(log.includes('a finish'), 'its pause is undone already');
});

test('whatever step fails, it is the last one of that VM, and the others go all the way', () => {
  for (const fails of ['rehearse', 'make room', 'stop', 'freeze', 'finish'] as const) {
    const { log, ended } = together([{}, { fails }, { looks: 2 }]);
    assert.equal(ended, [0, `b ${fails}`, 2]);
    assert.is(stepsOf(log, 'b').at(-1), fails);
    assert.equal(stepsOf(log, 'a'), ALL_STEPS);
    assert.equal(stepsOf(log, 'c'), ALL_STEPS);
  }
});

test('a rehearsal that takes too long is not waited for', () => {
  const { ended } = together([{ rehearses: true }, {}]);
  assert.equal(ended, [0, 1]);
});

test('a pause alone returns its report, or throws what failed', () => {
  assert.is(pauseAlone(fakePause([], 'a', 7)).downtime_us, 7);
  assert.throws(() => pauseAlone(fakePause([], 'a', 7, { fails: 'stop' })), /a stop/);
});

test('JointPause: who asks in the same turn is paused together, who asks later is not kept waiting for', async () => {
  const log: string[] = [];
  const pauses = new JointPause();
  const first = [pauses.take(fakePause(log, 'a', 0)), pauses.take(fakePause(log, 'b', 1))];
  assert.equal(log, [], 'not before the turn is over');
  assert.equal(
    (await Promise.all(first)).map(({ downtime_us }) => downtime_us),
    [0, 1],
  );
  assert.ok(log.indexOf('b stop') < log.indexOf('a freeze'));
  assert.is((await pauses.take(fakePause(log, 'c', 2))).downtime_us, 2);
});

test('JointPause: each learns of its own failure alone', async () => {
  const log: string[] = [];
  const pauses = new JointPause();
  const taking = [
    pauses.take(fakePause(log, 'a', 0, { fails: 'freeze' })),
    pauses.take(fakePause(log, 'b', 1)),
  ];
  const outcomes = await Promise.allSettled(taking);
  assert.equal(outcomes.map(endOf), ['a freeze', 1]);
});

test.run();
