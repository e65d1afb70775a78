import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PollWindow } from '../../net/poll-window.ts';

const test = suite('poll window');

/** Work at `start_us`, then sleep until `woke_us`. */
function sleepOnce(window: PollWindow, start_us: number, woke_us: number): void {
  window.passed(start_us, true);
  window.slept(start_us);
  window.woke(woke_us);
}

test('PollWindow: short sleeps open it, long ones close it', () => {
  const window = new PollWindow();
  assert.not(window.wantsPorts(0));
  sleepOnce(window, 0, 50);
  assert.ok(window.wantsPorts(50));
  window.passed(50, true);
  assert.ok(window.isOpen(55));
  assert.not(window.isOpen(70));
  for (let i = 1; i < 6; i++) sleepOnce(window, i * 1000, i * 1000 + 50);
  window.passed(6000, true);
  assert.ok(window.isOpen(6199), 'grown');
  assert.not(window.isOpen(6201), 'but bounded');
  for (let i = 1; i < 8; i++) sleepOnce(window, i * 1e5, i * 1e5 + 5000);
  assert.not(window.wantsPorts(8e5), 'an idle switch does not poll');
});

test('PollWindow: polling rests when somebody else wanted the processor', () => {
  const window = new PollWindow();
  sleepOnce(window, 0, 50);
  window.passed(50, true);
  window.polled(52, true);
  window.passed(53, true);
  window.polled(400, false);
  assert.not(window.wantsPorts(401));
  assert.not(window.wantsPorts(15_000));
});

test.run();
