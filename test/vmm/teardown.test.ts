import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Teardown } from '../../vmm/teardown.ts';

test('Teardown.run(): last added first, each awaited before the next', async () => {
  const done: string[] = [];
  const teardown = new Teardown();
  teardown.add(() => void done.push('vm'));
  teardown.add(async () => {
    await new Promise(setImmediate);
    done.push('thread');
  });
  teardown.add(() => void done.push('tap'));
  await teardown.run();
  assert.equal(done, ['tap', 'thread', 'vm']);
});

test('Teardown.run(): a step that fails does not keep the others from running; its error is thrown at the end', async () => {
  const done: string[] = [];
  const teardown = new Teardown();
  teardown.add(() => void done.push('first'));
  teardown.add(() => Promise.reject(new Error('later failure')));
  teardown.add(() => {
    throw new Error('earlier failure');
  });
  const error = await teardown.run().catch((reason: unknown) => reason);
  assert.is((error as Error).message, 'earlier failure');
  assert.equal(done, ['first']);
});

test('Teardown.run(): twice runs every step once', async () => {
  let count = 0;
  const teardown = new Teardown();
  teardown.add(() => void count++);
  await teardown.run();
  await teardown.run();
  assert.is(count, 1);
});

test.run();
