import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Contestant, interleave, ratio, summarizeAll, valuesOf } from '../../../cli/bench/harness.ts';

/** Notes its turns in `log` and answers one value after the other. */
function contestant(name: string, log: string[], values: readonly number[]): Contestant {
  let round = 0;
  return {
    name,
    measure: async () => {
      log.push(name);
      return { time_ms: values[round++] ?? 0 };
    },
  };
}

test('interleave(): takes turns in alternating order, after a warm-up that does not count', async () => {
  const log: string[] = [];
  const steps: string[] = [];
  const series = await interleave(
    [contestant('a', log, [100, 1, 2, 3]), contestant('b', log, [200, 10, 20, 30])],
    { rounds: 3, progress: step => steps.push(step) },
  );
  assert.is(log.join(''), 'abbaabba');
  assert.equal(valuesOf(series, 'a', 'time_ms'), [1, 2, 3]);
  assert.equal(valuesOf(series, 'b', 'time_ms'), [10, 20, 30]);
  assert.equal(steps, ['warming up', 'round 1 of 3', 'round 2 of 3', 'round 3 of 3']);
});

test('interleave(): an abort ends it before the next turn', async () => {
  const controller = new AbortController();
  const log: string[] = [];
  const ends: Contestant = {
    name: 'ends',
    measure: async () => {
      controller.abort(new Error('enough'));
      return {};
    },
  };
  const error = await interleave([ends, contestant('b', log, [])], {
    rounds: 5,
    signal: controller.signal,
  }).catch((reason: unknown) => reason);
  assert.is((error as Error).message, 'enough');
  assert.equal(log, []);
});

test('ratio(): is made within each round, so that a slow phase of the machine cancels out', async () => {
  const log: string[] = [];
  const series = await interleave(
    [contestant('a', log, [0, 10, 1000, 12]), contestant('b', log, [0, 20, 2000, 24])],
    { rounds: 3 },
  );
  assert.equal(ratio(series, 'time_ms', 'a', 'b'), { count: 3, minimum: 0.5, median: 0.5, p99: 0.5, mad: 0 });
  assert.is(ratio(series, 'other_ms', 'a', 'b'), undefined);
  assert.is(ratio(series, 'time_ms', 'a', 'nobody'), undefined);
  assert.is(summarizeAll(series, 'b').time_ms?.median, 24);
});

test.run();
