import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommonInterval } from '../../../vmm/io/common-interval.ts';

const test = suite('CommonInterval');

test('calls all that were added, until each says that it is enough', async () => {
  const interval = new CommonInterval(1);
  const calls = { first: 0, second: 0 };
  const endFirst = interval.add(() => void calls.first++);
  const endSecond = interval.add(() => void calls.second++);
  while (calls.first < 2 || calls.second < 2) await sleep(1);
  endFirst();
  const { first, second } = calls;
  while (calls.second === second) await sleep(1);
  assert.is(calls.first, first);
  endSecond();
  const last = { ...calls };
  await sleep(20);
  assert.equal(calls, last);
});

test('starts anew after all have ended', async () => {
  const interval = new CommonInterval(1);
  interval.add(() => {})();
  let called = false;
  const end = interval.add(() => {
    called = true;
  });
  while (!called) await sleep(1);
  end();
});

test.run();
