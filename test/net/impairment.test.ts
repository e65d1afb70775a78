import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Impairment, LOST, validateImpairment } from '../../net/impairment.ts';
import { Random } from '../../net/random.ts';
import { ethernetFrame } from './support/fake-nic.ts';
import { FakeSwitch } from './support/fake-switch.ts';

const A = 0x520000000001;
const B = 0x520000000002;
const test = suite('impairment');

const arrivals = (config: ConstructorParameters<typeof Impairment>[0], count: number, interval_us = 100) => {
  const impairment = new Impairment(config);
  return Array.from({ length: count }, (_, i) => impairment.arrival_us(1000, i * interval_us));
};

test('Random: the same seed gives the same sequence, another one another', () => {
  const sequence = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 100 }, () => random.next());
  };
  assert.equal(sequence(7), sequence(7));
  assert.not.equal(sequence(7), sequence(8));
  assert.ok(sequence(7).every(value => value >= 0 && value < 1));
});

test('Impairment: loss is as frequent as asked for, and repeatable by seed', () => {
  for (const loss of [0.01, 0.1, 0.5]) {
    const lost = (seed: number) => arrivals({ loss, seed }, 20_000).filter(time => time === LOST).length;
    // Five standard deviations of a binomial distribution.
    const tolerance = 5 * Math.sqrt(20_000 * loss * (1 - loss));
    assert.ok(Math.abs(lost(1) - 20_000 * loss) < tolerance, `${lost(1)} of 20000 at ${loss}`);
    assert.is(lost(1), lost(1));
    assert.not.equal(arrivals({ loss, seed: 1 }, 1000), arrivals({ loss, seed: 2 }, 1000));
  }
  assert.ok(arrivals({ loss: 1 }, 100).every(time => time === LOST));
});

test('Impairment: delay is exact without jitter', () => {
  assert.equal(arrivals({ delay_us: 250 }, 3), [250, 350, 450]);
});

test('Impairment: jitter spreads evenly around the delay; only with reorder do frames overtake', () => {
  const config = { delay_us: 1000, jitter_us: 400, seed: 3 };
  const delays = arrivals({ ...config, reorder: true }, 20_000).map((time, i) => time - i * 100);
  const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length;
  const variance = delays.reduce((sum, delay) => sum + (delay - mean) ** 2, 0) / delays.length;
  assert.ok(Math.abs(mean - 1000) < 10, `mean ${mean}`);
  assert.ok(Math.abs(Math.sqrt(variance) - 800 / Math.sqrt(12)) < 10, `deviation ${Math.sqrt(variance)}`);
  assert.ok(Math.min(...delays) >= 600 && Math.max(...delays) <= 1400);
  const isOrdered = (times: number[]) =>
    times.every((time, i) => i === 0 || time >= (times[i - 1] as number));
  assert.not(isOrdered(arrivals({ ...config, reorder: true }, 1000)));
  assert.ok(isOrdered(arrivals(config, 1000)));
});

test('Impairment: a rate spaces frames by their length, after an idle time from the start again', () => {
  const impairment = new Impairment({ rate_bits_per_second: 8e6 });
  assert.is(impairment.arrival_us(1000, 0), 1000);
  assert.is(impairment.arrival_us(500, 0), 1500);
  assert.is(impairment.arrival_us(100, 5000), 5100);
});

test('validateImpairment: says all that is wrong', () => {
  validateImpairment({});
  validateImpairment({ delay_us: 1000, jitter_us: 10, loss: 0.5, rate_bits_per_second: 1e9, seed: 3 });
  for (const [config, words] of [
    [{ delay_us: -1, loss: 2 }, /delay.*loss/],
    [{ jitter_us: Number.NaN }, /jitter/],
    [{ rate_bits_per_second: 0 }, /rate/],
    [{ seed: 0.5 }, /seed/],
  ] as const) {
    assert.throws(() => validateImpairment(config), words);
  }
});

test('Network: impaired frames arrive at their time, the other direction is untouched', () => {
  const lan = new FakeSwitch();
  const a = lan.add({ mac: A, impairment: { delay_us: 5000 } });
  const b = lan.add({ mac: B });
  for (let i = 0; i < 5; i++) a.send(ethernetFrame(B, A, 100, i));
  b.send(ethernetFrame(A, B));
  lan.run();
  assert.is(a.receiveAll().length, 1);
  assert.is(a.reclaim(), 5, 'the sender has its buffers back');
  lan.advance(4800);
  assert.equal(b.receiveAll(), []);
  lan.advance(400);
  assert.equal(
    b.receiveAll().map(({ frame }) => frame),
    Array.from({ length: 5 }, (_, i) => ethernetFrame(B, A, 100, i)),
  );
  lan.close();
});

test('Network: frames under way are bounded, lost ones counted, those of a removed port forgotten', () => {
  const lan = new FakeSwitch({ poolChunks: 16_384 });
  const a = lan.add({ mac: A, impairment: { delay_us: 1e6 } });
  const b = lan.add({ mac: B, impairment: { loss: 1 } });
  for (let i = 0; i < 9000; i++) {
    a.send(ethernetFrame(B, A));
    if (i % 100 === 0) lan.run();
  }
  b.send(ethernetFrame(A, B));
  lan.run();
  assert.is(lan.counters(a).delay_overflow_frames, 9000 - 8192);
  assert.is(lan.counters(b).impaired_frames, 1);
  assert.is(lan.engine.pool.freeChunks, 16_384 - 8192);
  lan.detach(a);
  assert.is(lan.engine.pool.freeChunks, 16_384);
  lan.advance(2e6);
  assert.equal(b.receiveAll(), []);
  a.close();
  lan.close();
});

test.run();
