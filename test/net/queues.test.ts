import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DelayLine } from '../../net/queues/delay-line.ts';
import { FramePool, NONE } from '../../net/queues/frame-pool.ts';
import { FrameQueue } from '../../net/queues/frame-queue.ts';
import { Random } from '../../net/random.ts';
import { Frame, MAXIMUM_FRAME_BYTES } from '../../vmm/devices/virtio/net/frame.ts';
import { HEADER_BYTES } from '../../vmm/devices/virtio/net/header.ts';

const test = suite('queues');
const loaded = new Frame();

function makeFrame(length: number, seed = length): Frame {
  const frame = new Frame();
  frame.reset(length);
  for (let i = 0; i < HEADER_BYTES + length; i++) frame.bytes[i] = (seed + i) & 0xff;
  frame.privateLength = length;
  frame.epoch = seed;
  frame.sender = (seed + 1) % 256;
  frame.offloads = 5;
  frame.segmentCount = 9;
  return frame;
}

function contentOf(pool: FramePool, id: number): Uint8Array {
  pool.load(id, loaded);
  loaded.makePrivate();
  return loaded.bytes.slice(0, HEADER_BYTES + loaded.length);
}

test('FramePool: a frame of any length comes out as it went in', () => {
  const pool = new FramePool(128);
  for (const length of [14, 60, 244, 245, 2036, 2037, 4084, 4085, 65_000, MAXIMUM_FRAME_BYTES]) {
    const frame = makeFrame(length);
    const id = pool.store(frame);
    assert.equal(contentOf(pool, id), frame.bytes.slice(0, HEADER_BYTES + length), `${length}`);
    assert.equal(
      [loaded.length, loaded.epoch, loaded.sender, loaded.offloads, loaded.segmentCount],
      [length, length, frame.sender, 5, 9],
    );
    pool.release(id);
    assert.is(pool.freeChunks, 128);
    frame.free();
  }
  pool.free();
});

test('FramePool: says so when it is full, and loses no chunk', () => {
  const pool = new FramePool(10);
  const [small, large] = [makeFrame(100), makeFrame(5000)];
  const ids = [large, large, large, small].map(frame => pool.storeAnyway(frame));
  assert.ok(ids.every(id => id !== NONE));
  assert.is(pool.storeAnyway(small), NONE);
  pool.release(ids[1] as number);
  assert.is(pool.freeChunks, 3);
  assert.equal(contentOf(pool, ids[2] as number), large.bytes.slice(0, 5012));
  for (const id of [ids[3], ids[0], ids[2]]) pool.release(id as number);
  assert.is(pool.freeChunks, 10);
  pool.free();
});

test('FrameQueue: first in, first out, bounded by chunks', () => {
  const pool = new FramePool(20);
  const queue = new FrameQueue(pool, 4);
  const frames = [makeFrame(100, 1), makeFrame(3000, 2), makeFrame(100, 3)];
  assert.equal(
    frames.map(frame => queue.store(frame)),
    [true, true, true],
  );
  assert.not(queue.store(makeFrame(10)));
  const order: number[] = [];
  for (let id = queue.shift(); id !== NONE; id = queue.shift()) order.push(pool.epoch(id));
  assert.equal(order, [1, 2, 3]);
  assert.is(queue.head, NONE);
  pool.free();
});

test('FrameQueue: one sender gets half of it, several the same share, whoever comes first', () => {
  const pool = new FramePool(1000);
  const queue = new FrameQueue(pool, 120);
  const from = (sender: number) => Object.assign(makeFrame(50), { sender });
  const fill = (sender: number) => {
    let count = 0;
    while (queue.store(from(sender))) count++;
    return count;
  };
  assert.is(fill(1), 60);
  assert.is(fill(2), 30);
  // As the queue is emptied from its front, those that come late catch up.
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 12; i++) pool.release(queue.shift());
    for (const sender of [1, 2, 3]) fill(sender);
  }
  const counts = [0, 0, 0, 0];
  queue.forEach(id => {
    const sender = pool.sender(id);
    counts[sender] = (counts[sender] as number) + 1;
  });
  const [, first = 0, , last = 0] = counts;
  assert.ok(last > 0.6 * first, counts.join());
  queue.clear();
  assert.is(fill(3), 60, 'nothing is left of the accounts');
  queue.clear();
  assert.is(pool.freeChunks, 1000);
  pool.free();
});

test('FramePool: one sender leaves half of it to the others', () => {
  const pool = new FramePool(100);
  const frame = Object.assign(makeFrame(50), { sender: 7 });
  let stored = 0;
  while (pool.store(frame) !== NONE) stored++;
  assert.is(stored, 50);
  assert.is.not(pool.storeAnyway(frame), NONE);
  frame.sender = 8;
  assert.is.not(pool.store(frame), NONE);
  pool.free();
});

test('FramePool.reserve: makes room beside what is stored, which stays as it is', () => {
  const pool = new FramePool(40);
  const frame = makeFrame(MAXIMUM_FRAME_BYTES);
  const first = pool.storeAnyway(frame);
  const before = contentOf(pool, first);
  pool.reserve(3 * 33);
  const more = [0, 1, 2].map(() => pool.storeAnyway(frame));
  assert.not.ok(more.includes(NONE));
  for (const id of [first, ...more]) assert.equal(contentOf(pool, id), before);
  for (const id of [first, ...more]) pool.release(id);
  assert.is(pool.freeChunks % 40, 0);
  pool.reserve(1);
  pool.free();
});

test('FrameQueue.prepend: the other queue comes first and is empty then', () => {
  const pool = new FramePool(20);
  const [queue, other] = [new FrameQueue(pool, 10), new FrameQueue(pool, 10)];
  queue.prepend(other);
  for (const seed of [1, 2]) other.store(makeFrame(50, seed));
  queue.prepend(other);
  other.store(makeFrame(50, 0));
  queue.store(makeFrame(50, 3));
  queue.prepend(other);
  assert.is(other.length, 0);
  const order: number[] = [];
  queue.forEach(id => {
    order.push(pool.epoch(id));
  });
  assert.equal(order, [0, 1, 2, 3]);
  assert.is(queue.clear(), 4);
  assert.is(pool.freeChunks, 20);
  pool.free();
});

test('DelayLine: gives frames out by time, equal times in the order of arrival', () => {
  const line = new DelayLine(2000);
  const random = new Random(1);
  const times = Array.from({ length: 1000 }, () => random.below(100));
  for (const [id, time] of times.entries()) line.add(id, time);
  line.remove(id => id % 3 === 0);
  const expected = [...times.entries()]
    .filter(([id]) => id % 3 !== 0)
    .sort(([a, x], [b, y]) => x - y || a - b);
  for (const [id, time] of expected) {
    assert.is(line.next_us, time);
    assert.is(line.head, id);
    line.shift();
  }
  assert.is(line.head, NONE);
  assert.is(line.next_us, Number.POSITIVE_INFINITY);
});

test.run();
