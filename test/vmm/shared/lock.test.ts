import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startThread } from '../../../vmm/io/thread.ts';
import { SharedLock } from '../../../vmm/shared/lock.ts';

const THREADS = 4;
const ROUNDS = 20_000;

test('SharedLock: threads that hammer a counter lose no increment', async () => {
  const buffer = new SharedArrayBuffer(16);
  const threads = Array.from({ length: THREADS }, () =>
    startThread(import.meta.url, './hammer-thread', { workerData: { buffer, rounds: ROUNDS } }),
  );
  await Promise.all(threads.map(thread => once(thread, 'exit')));
  const words = new Int32Array(buffer);
  assert.is(words[1], THREADS * ROUNDS);
  assert.is(words[0], 0, 'the lock is free at the end');
});

test('SharedLock: tryAcquire() never waits', () => {
  const words = new Int32Array(new SharedArrayBuffer(4));
  const lock = new SharedLock(words, 0);
  assert.ok(lock.tryAcquire());
  assert.not.ok(new SharedLock(words, 0).tryAcquire());
  lock.release();
  assert.ok(lock.tryAcquire());
});

test('SharedLock: isContended tells the holder that somebody waits', async () => {
  const buffer = new SharedArrayBuffer(16);
  const words = new Int32Array(buffer);
  const lock = new SharedLock(words, 0);
  lock.acquire();
  assert.not.ok(lock.isContended);
  const thread = startThread(import.meta.url, './hammer-thread', { workerData: { buffer, rounds: 1 } });
  const ended = once(thread, 'exit');
  while (!lock.isContended) await new Promise(resolve => setTimeout(resolve, 1));
  lock.release();
  await ended;
  assert.is(words[1], 1);
});

test.run();
