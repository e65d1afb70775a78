import { readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TsvmmError } from '../../../vmm/errors.ts';
import { IoThread } from '../../../vmm/io/io-thread.ts';
import type { SampleMessage } from './sample-thread.ts';

const start = () =>
  new IoThread<SampleMessage, unknown>(import.meta.url, './sample-thread', { greeting: 'hello' });

const failure = async (work: Promise<unknown>): Promise<TsvmmError> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, TsvmmError);
  return error as TsvmmError;
};

test('IoThread: requests made before the thread runs are answered, each with its own result', async () => {
  const thread = start();
  const answers = await Promise.all([
    thread.request('setup'),
    ...Array.from({ length: 100 }, (_, i) => thread.request({ double: i })),
  ]);
  assert.equal(answers, ['hello', ...Array.from({ length: 100 }, (_, i) => 2 * i)]);
  await thread.stop();
});

test('IoThread: what a handler throws rejects that request alone, code and hint included', async () => {
  const thread = start();
  const refused = await failure(thread.request('refuse'));
  assert.is(refused.code, 'TSVMM_E_DISK');
  assert.is(refused.hint, 'ask otherwise');
  assert.is((refused.cause as Error).message, 'deep');
  const broken = await failure(thread.request('break'));
  assert.is(broken.code, 'TSVMM_E_INTERNAL');
  assert.match(broken.message, /RangeError: broken/);
  assert.is(await thread.request({ double: 4 }), 8, 'the thread lives on');
  await thread.stop();
});

test('IoThread.stop(): idempotent; what is asked later is refused', async () => {
  const thread = start();
  await Promise.all([thread.stop(), thread.stop()]);
  await thread.ended;
  assert.is((await failure(thread.request('setup'))).code, 'TSVMM_E_WORKER');
});

test('IoThread: a thread whose loop crashes refuses what comes, with its error as cause', async () => {
  const thread = start();
  // The answer and the end come by different ways: either may be heard of first.
  await thread.request('crash').catch(() => {});
  const error = await failure(thread.ended as Promise<unknown>);
  assert.is(error.code, 'TSVMM_E_WORKER');
  assert.match(String((error.cause as Error).message), /crashed/);
  assert.is((await failure(thread.request('setup'))).code, 'TSVMM_E_WORKER');
  await thread.stop().catch(() => {});
});

test('IoThread: a thread that ends rejects the requests that wait', async () => {
  const thread = start();
  const waiting = [thread.request('leave'), thread.request('setup')].map(failure);
  for (const error of await Promise.all(waiting)) assert.is(error.code, 'TSVMM_E_WORKER');
});

test('IoThread: starting and stopping leaves no descriptor and no thread behind', async () => {
  const count = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length];
  await start().stop();
  const before = count();
  for (let i = 0; i < 5; i++) {
    const thread = start();
    await thread.request('setup');
    await thread.stop();
  }
  assert.equal(count(), before);
});

test.run();
