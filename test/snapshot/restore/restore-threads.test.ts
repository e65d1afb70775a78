import { availableParallelism } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RestoreThreads } from '../../../snapshot/restore/restore-threads.ts';
import { processResources } from '../../support/process-resources.ts';

const test = suite('RestoreThreads');

test('are fewer than VMs, and each ends with the last VM that it loads', async () => {
  const threads = new RestoreThreads();
  const before = processResources().threads;
  const parts = Array.from({ length: 16 }, () => threads.take());
  await Promise.all(parts.map(part => part.request('failure')));
  const most = Math.ceil(availableParallelism() / 2);
  assert.is(processResources().threads, before + Math.min(most, parts.length));
  const [last, ...others] = parts;
  await Promise.all(others.map(part => part.stop()));
  assert.is(await last?.request('failure'), undefined);
  await last?.stop();
  await last?.stop();
  assert.is(processResources().threads, before);
});

test('a VM that comes when all have ended gets a new one', async () => {
  const threads = new RestoreThreads();
  await threads.take().stop();
  const part = threads.take();
  assert.is(await part.request('failure'), undefined);
  await part.stop();
});

test('those that nobody took end with close()', async () => {
  const before = processResources().threads;
  const threads = new RestoreThreads();
  threads.startAhead();
  await threads.close();
  assert.is(processResources().threads, before);
});

test.run();
