import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { linearFit, median, quantile, summarize } from '../../../cli/bench/statistics.ts';

test('median(): the middle of the sorted values, or between the two', () => {
  assert.is(median([9, 1, 5]), 5);
  assert.is(median([10, 2, 4, 8]), 6);
  assert.is(median([7]), 7);
  assert.ok(Number.isNaN(median([])));
});

test('quantile(): the nearest rank', () => {
  const sorted = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.equal([quantile(sorted, 0.99), quantile(sorted, 0.5), quantile(sorted, 1)], [99, 50, 100]);
  assert.is(quantile(sorted, 0), 1);
  assert.is(quantile([3], 0.99), 3);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test('summarize(): one outlier moves neither the median nor the spread', () => {
  const values = [10, 11, 9, 10, 12, 8, 10, 1000];
  assert.equal(summarize(values), { count: 8, minimum: 8, median: 10, p99: 1000, mad: 1 });
  assert.equal(values[0], 10, 'the input is left as it was');
});

test('linearFit(): the line itself, and the middle of what lies beside it', () => {
  assert.equal(
    linearFit([
      [0, 1],
      [1, 3],
      [2, 5],
    ]),
    { slope: 2, intercept: 1 },
  );
  const { slope, intercept } = linearFit([
    [0, 0],
    [0, 2],
    [4, 8],
    [4, 10],
  ]);
  assert.is(slope, 2);
  assert.is(intercept, 1);
  assert.ok(Number.isNaN(linearFit([[1, 1]]).slope));
});

test.run();
