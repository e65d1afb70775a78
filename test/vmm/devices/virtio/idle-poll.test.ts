import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { IdlePoll } from '../../../../vmm/devices/virtio/block/idle-poll.ts';

/** A clock that each look at the queue moves on by `step_us`. */
class Bench {
  now_us = 1_000_000;
  step_us = 1;
  looks = 0;
  readonly poll = new IdlePoll(() => this.now_us);

  /** A pause of `length_us` between two requests; true when the next one was found by polling. */
  pause(length_us: number): boolean {
    const end = this.now_us + length_us;
    this.poll.idle();
    if (this.poll.isWanted && this.poll.poll(() => this.look(end))) return true;
    this.now_us = Math.max(this.now_us, end);
    this.poll.woke();
    return false;
  }

  private look(end: number): boolean {
    this.looks++;
    this.now_us += this.step_us;
    return this.now_us >= end;
  }
}

interface Context {
  bench: Bench;
}
const test = suite<Context>('IdlePoll');
test.before.each(context => {
  context.bench = new Bench();
});

test('does not poll until requests have come soon after one another', ({ bench }) => {
  assert.not(bench.pause(10_000));
  assert.not(bench.pause(30));
  assert.ok(bench.pause(30));
  assert.ok(bench.pause(55));
});

test('gives up when pauses become longer than it is worth', ({ bench }) => {
  bench.pause(100);
  assert.ok(bench.pause(100));
  for (let i = 0; i < 6; i++) assert.not(bench.pause(5000));
  bench.looks = 0;
  assert.not(bench.pause(5000));
  assert.is(bench.looks, 0);
});

test('polls for 200 us at most', ({ bench }) => {
  bench.pause(199);
  bench.looks = 0;
  bench.pause(5000);
  assert.ok(bench.looks <= 201, `${bench.looks} looks`);
});

test('rests when it was interrupted while it polled, and longer when that happens again', ({ bench }) => {
  const interrupted = () => {
    bench.pause(100);
    assert.ok(bench.poll.isWanted);
    bench.step_us = 150;
    bench.pause(5000);
    bench.step_us = 1;
    bench.pause(100);
    assert.not(bench.poll.isWanted);
  };
  interrupted();
  bench.now_us += 20_000;
  interrupted();
  bench.now_us += 20_000;
  assert.not(bench.poll.isWanted);
  bench.now_us += 20_000;
  assert.ok(bench.poll.isWanted);
  for (let i = 0; i < 300; i++) assert.ok(bench.pause(50));
  interrupted();
  bench.now_us += 20_000;
  assert.ok(bench.poll.isWanted, 'long quiet makes it forget');
});

test.run();
