import { availableParallelism } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type RestoreThread, RestoreThreads } from '../../../snapshot/restore/restore-threads.ts';
import { processResources } from '../../support/process-resources.ts';

const test = suite('RestoreThreads');

const threadCount = () => processResources().threads;

/** A thread that runs keeps a test that has failed from ending. */
async function withParts(count: number, body: (parts: RestoreThread[]) => Promise<void>): Promise<void> {
  const threads = new RestoreThreads();
  const parts = Array.from({ length: count }, () => threads.take());
  try {
    await Promise.all(parts.map(part => part.request('failure')));
    await body(parts);
  } finally {
    await Promise.all(parts.map(part => part.stop()));
  }
}

/** What one takes: the loader of TypeScript may have a thread for each thread. */
let each = 1;
test.before(async () => {
  // Node.js starts threads of its own with the first.
  await withParts(1, async () => {});
  const before = threadCount();
  await withParts(1, async () => {
    each = threadCount() - before;
  });
  assert.is(threadCount(), before);
});

test('are fewer than VMs, and each ends with the last VM that it loads', async () => {
  const before = threadCount();
  await withParts(16, async parts => {
    const most = Math.min(Math.ceil(availableParallelism() / 2), parts.length);
    assert.is(threadCount(), before + each * most);
    const [last, ...others] = parts as [RestoreThread, ...RestoreThread[]];
    await Promise.all(others.map(part => part.stop()));
    assert.is(await last.request('failure'), undefined);
    await last.stop();
    assert.is(threadCount(), before);
  });
});

test('a VM that comes when all have ended gets a new one', async () => {
  const threads = new RestoreThreads();
  await threads.take().stop();
  const part = threads.take();
  try {
    assert.is(await part.request('failure'), undefined);
  } finally {
    await part.stop();
  }
});

test('those that nobody took end with close()', async () => {
  const before = threadCount();
  const threads = new RestoreThreads();
  threads.startAhead();
  await threads.startedAhead();
  await threads.close();
  assert.is(threadCount(), before);
});

test.run();
