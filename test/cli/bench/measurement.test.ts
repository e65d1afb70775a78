import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { measure, parseMeasurements } from '../../../cli/bench/exits/measurement.ts';

test('parseMeasurements(): the measure lines of a console, whatever stands between', () => {
  const console = [
    '{"event":"ready","t_us":1}',
    '   {"event":"measure","name":"pio_exit","n":5,"min_ns":1,"median_ns":2,"p99_ns":3}',
    'noise',
    '{"event":"measured"}',
  ].join('\n');
  assert.equal(
    parseMeasurements(console).map(({ name, median_ns }) => [name, median_ns]),
    [['pio_exit', 2]],
  );
});

test('measure(): minimum, median and p99 of the samples', () => {
  let next = 100;
  assert.equal(
    measure('x', 100, () => next--),
    { name: 'x', n: 100, min_ns: 1, median_ns: 51, p99_ns: 99 },
  );
});

test.run();
