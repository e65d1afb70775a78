import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startThread } from '../../../vmm/io/thread.ts';
import { ByteRing } from '../../../vmm/shared/byte-ring.ts';

test('ByteRing: bytes come out in order, again and again around the end', () => {
  const ring = new ByteRing(ByteRing.allocate(8));
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 5; i++) assert.ok(ring.push(round * 5 + i));
    assert.is(ring.length, 5);
    assert.is(ring.shift(), round * 5);
    assert.equal(
      [...ring.drain()],
      [1, 2, 3, 4].map(i => round * 5 + i),
    );
    assert.is(ring.shift(), -1);
  }
});

test('ByteRing: a full ring refuses and counts', () => {
  const ring = new ByteRing(ByteRing.allocate(4));
  for (let i = 0; i < 4; i++) assert.ok(ring.push(i));
  assert.is(ring.free, 0);
  assert.not.ok(ring.push(9));
  assert.not.ok(ring.push(9));
  assert.is(ring.droppedBytes, 2);
  assert.equal([...ring.drain()], [0, 1, 2, 3]);
});

test('ByteRing: positions may pass 2^32', () => {
  const ring = new ByteRing(ByteRing.allocate(8));
  const words = new Int32Array(ring.buffer, 0, 2);
  words.fill(-3);
  for (let i = 0; i < 6; i++) assert.ok(ring.push(i));
  assert.is(ring.length, 6);
  assert.equal([...ring.drain()], [0, 1, 2, 3, 4, 5]);
});

test('ByteRing: claimSignal() is true once until clearSignal()', () => {
  const ring = new ByteRing(ByteRing.allocate(8));
  assert.ok(ring.claimSignal());
  assert.not.ok(ring.claimSignal());
  ring.clearSignal();
  assert.ok(ring.claimSignal());
});

test('ByteRing: between two threads nothing is lost, doubled or reordered', async () => {
  const ring = new ByteRing(ByteRing.allocate(64));
  const count = 200_000;
  const producer = startThread(import.meta.url, './producer-thread', {
    workerData: { buffer: ring.buffer, count },
  });
  const ended = once(producer, 'exit');
  let next = 0;
  let wrong = 0;
  while (next < count) {
    const bytes = ring.drain();
    for (const byte of bytes) if (byte !== ((next++ * 31) & 0xff)) wrong++;
    if (bytes.length === 0) await new Promise(setImmediate);
  }
  assert.is(wrong, 0);
  await ended;
  assert.is(ring.length, 0);
});

test.run();
