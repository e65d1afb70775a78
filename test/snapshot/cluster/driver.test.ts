import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SnapshotDriver } from '../../../snapshot/cluster/driver.ts';
import type { SaveProgress } from '../../../snapshot/cluster/interfaces.ts';
import type { SnapshotEvent } from '../../../snapshot/cluster/protocol.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { FakeClock, type FakeImage, FakeStore, FakeSwitch, FakeWorld, fakeVm } from './support.ts';

const test = suite('SnapshotDriver');

function setUp() {
  const world = new FakeWorld();
  const clock = new FakeClock();
  const network = new FakeSwitch(world);
  const store = new FakeStore(world);
  const vms = [fakeVm('a', world, clock, ['net0', 'net1']), fakeVm('b', world, clock)];
  const events: SnapshotEvent[] = [];
  const progress: [string, SaveProgress][] = [];
  const faults: unknown[] = [];
  const driver = new SnapshotDriver<FakeImage>({
    epoch: 0,
    vms,
    network,
    store,
    clock,
    onEvent: event => events.push(event),
    onProgress: (vm, saved) => progress.push([vm, saved]),
    onFault: error => faults.push(error),
  });
  const snapshot = (name: string, over: { timeout_us?: number; signal?: AbortSignal } = {}) =>
    driver.snapshot({ name, mode: 'hold', timeout_us: 1_000_000, ...over });
  return { world, clock, network, store, vms, events, progress, faults, driver, snapshot };
}

async function rejection(promise: Promise<unknown>): Promise<TsvmmError> {
  try {
    await promise;
  } catch (error) {
    assert.instance(error, TsvmmError);
    return error as TsvmmError;
  }
  throw new Error('it did not reject');
}

const settle = () => new Promise(resolve => setImmediate(resolve));

test('snapshot(): goes through all steps and answers the timeline that was published', async () => {
  const { world, network, store, snapshot, progress, clock } = setUp();
  const bytes = new Uint8Array(60);
  network.recording = {
    channel: {
      epoch: 1,
      frames: [
        { sender: 'a/net1', receiver: 'b/net0', epoch: 0, bytes },
        { sender: 'gone/net0', receiver: 'b/net0', epoch: 0, bytes },
      ],
    },
    counts: new Map([
      ['a/net0', { held_count: 2, dropped_count: 0 }],
      ['a/net1', { held_count: 3, dropped_count: 1 }],
    ]),
  };
  const timeline = await snapshot('s1');
  assert.is(world.log[0], 'create s1 1 a,b');
  assert.equal(world.log.slice(1, 4), ['open 1 hold', 'prepare a', 'prepare b']);
  assert.equal(world.log.slice(4, 6), ['cut a', 'cut b']);
  assert.ok(world.log.includes('release a/net0,a/net1'));
  assert.ok(world.log.indexOf('drain 1') < world.log.indexOf('write channel'));
  assert.is(world.log.at(-1), 'publish');
  assert.equal(
    [...network.epochs],
    [
      ['a/net0', 1],
      ['a/net1', 1],
      ['b/net0', 1],
    ],
  );
  const [image] = store.images;
  assert.is(image?.timeline, timeline);
  assert.equal(
    image?.channel?.frames.map(frame => frame.sender),
    ['a/net1'],
    'a VM that left is left out',
  );
  assert.equal(timeline.frames, { held_count: 5, dropped_count: 1, recorded_count: 1 });
  assert.equal(
    timeline.vms.map(vm => [vm.name, vm.held_count, vm.recorded_count]),
    [
      ['a', 5, 0],
      ['b', 0, 1],
    ],
  );
  assert.equal(
    progress.map(([vm]) => vm),
    ['a', 'b'],
  );
  assert.not.ok(clock.isSet, 'no timer is left');
});

for (const step of [
  'create s1 1 a,b',
  'open 1 hold',
  'prepare b',
  'cut a',
  'save b',
  'drain 1',
  'write channel',
  'publish',
]) {
  test(`snapshot(): when "${step}" fails, rejects with its error after all is cleaned up`, async () => {
    const { world, snapshot, driver } = setUp();
    world.failing = step;
    const error = await rejection(snapshot('s1'));
    assert.match(error.message, new RegExp(`${step} fails`));
    assert.ok(world.log.includes('abort switch 1'));
    assert.is(world.log.includes('discard'), !step.startsWith('create'));
    assert.not.ok(world.log.slice(0, -1).includes('discard'), 'it is the last step');
    world.failing = undefined;
    await snapshot('s2');
    assert.is(driver.epoch, 2);
  });
}

test('snapshot(): a VM whose ports do not cross is a failure', async () => {
  const { vms, snapshot } = setUp();
  (vms[1] as (typeof vms)[number]).snapshotter.crosses = false;
  assert.is((await rejection(snapshot('s1'))).code, 'TSVMM_E_INTERNAL');
});

test('snapshot(): requests are served one after another', async () => {
  const { world, snapshot, store } = setUp();
  const timelines = await Promise.all([snapshot('s1'), snapshot('s2'), snapshot('s3')]);
  assert.equal(
    timelines.map(({ epoch }) => epoch),
    [1, 2, 3],
  );
  assert.is(store.images.length, 3);
  assert.ok(world.log.indexOf('publish') < world.log.indexOf('create s2 2 a,b'));
});

test('snapshot(): a signal gives it up, under way or in the queue', async () => {
  const { world, snapshot } = setUp();
  world.hanging = 'save a';
  const [first, second] = [new AbortController(), new AbortController()];
  const under = rejection(snapshot('s1', { signal: first.signal }));
  const queued = rejection(snapshot('s2', { signal: second.signal }));
  await settle();
  second.abort();
  assert.is((await queued).code, 'TSVMM_E_INTERRUPTED');
  first.abort();
  assert.is((await under).code, 'TSVMM_E_INTERRUPTED');
  world.release();
  await settle();
  await snapshot('s3', { signal: new AbortController().signal });
  assert.is((await rejection(snapshot('s4', { signal: AbortSignal.abort() }))).code, 'TSVMM_E_INTERRUPTED');
});

test('snapshot(): times out by the clock', async () => {
  const { world, clock, snapshot } = setUp();
  world.hanging = 'prepare b';
  const result = rejection(snapshot('s1', { timeout_us: 1_000 }));
  await settle();
  clock.advance(2_000);
  assert.is((await result).code, 'TSVMM_E_TIMEOUT');
  assert.not.ok(clock.isSet);
});

test('snapshot(): an abort that goes wrong itself is told, and not waited for', async () => {
  const { world, snapshot, faults } = setUp();
  const abort = new AbortController();
  world.hanging = 'save a';
  world.failing = 'abort b';
  const result = rejection(snapshot('s1', { signal: abort.signal }));
  await settle();
  abort.abort();
  assert.is((await result).code, 'TSVMM_E_INTERRUPTED');
  assert.is(faults.length, 1);
});

test('switch listener: a newer marker makes its VM cut at once', async () => {
  const { world, network, snapshot, events } = setUp();
  world.hanging = 'cut a';
  const result = snapshot('s1');
  await settle();
  network.listener?.newerMarker('b/net0', 1);
  network.listener?.newerMarker('nobody/net0', 1);
  world.release();
  await result;
  assert.is(events.filter(event => event.kind === 'cut-commanded').length, 2);
});

test('switch listener: its death fails what is under way and all that follows', async () => {
  const { world, network, snapshot } = setUp();
  world.hanging = 'save a';
  const result = rejection(snapshot('s1'));
  await settle();
  network.listener?.died(new TsvmmError('TSVMM_E_WORKER', 'the net thread has ended'));
  assert.is((await result).code, 'TSVMM_E_WORKER');
  assert.is((await rejection(snapshot('s2'))).code, 'TSVMM_E_WORKER');
});

test('leave(): fails the attempt that still needs the VM, and the next one does without it', async () => {
  const { world, driver, snapshot, store } = setUp();
  world.hanging = 'drain 1';
  const result = rejection(snapshot('s1'));
  await settle();
  driver.leave('b', new TsvmmError('TSVMM_E_GUEST_CRASH', 'it has crashed'));
  assert.is((await result).code, 'TSVMM_E_GUEST_CRASH');
  world.release();
  await settle();
  const timeline = await snapshot('s2');
  assert.equal(
    timeline.vms.map(vm => vm.name),
    ['a'],
  );
  assert.is(store.images.length, 2);
});

test('switch listener: a VM whose port is unplugged leaves, once', async () => {
  const { world, network, driver, snapshot } = setUp();
  world.hanging = 'drain 1';
  const result = rejection(snapshot('s1'));
  await settle();
  network.listener?.unplugging('b/net0');
  assert.is((await result).code, 'TSVMM_E_CONFLICT');
  world.release();
  await settle();
  driver.leave('b', new TsvmmError('TSVMM_E_GUEST_CRASH', 'said too late'));
  network.listener?.unplugging('b/net0');
  network.listener?.unplugging('nobody/net0');
  assert.equal(
    (await snapshot('s2')).vms.map(vm => vm.name),
    ['a'],
  );
});

test('leave(): what a VM has saved counts when the channels are recorded', async () => {
  const { world, driver, snapshot } = setUp();
  world.hanging = 'save a';
  const result = snapshot('s1');
  await settle();
  driver.leave('b', new TsvmmError('TSVMM_E_GUEST_CRASH', 'it has crashed'));
  world.release();
  assert.equal(
    (await result).vms.map(vm => vm.name),
    ['a', 'b'],
  );
});

test('snapshot(): an image that is still being made when it is given up is discarded too', async () => {
  const { world, snapshot, store } = setUp();
  const abort = new AbortController();
  world.hanging = 'create s1 1 a,b';
  const result = rejection(snapshot('s1', { signal: abort.signal }));
  await settle();
  abort.abort();
  await settle();
  assert.not.ok(world.log.includes('discard'));
  world.release();
  assert.is((await result).code, 'TSVMM_E_INTERRUPTED');
  assert.is(store.images.length, 1);
  assert.is(world.log.at(-1), 'discard');
});

test('snapshot(): no VM is prepared when time is up as the image is there', async () => {
  const { world, clock, snapshot } = setUp();
  world.hanging = 'create s1 1 a,b';
  const result = rejection(snapshot('s1', { timeout_us: 1_000 }));
  await settle();
  // The thread was busy: its timer has not gone off.
  clock.time_us += 2_000;
  world.release();
  assert.is((await result).code, 'TSVMM_E_TIMEOUT');
  await settle();
  assert.not.ok(world.log.includes('prepare a'), world.log.join(', '));
});

test('join(): the VM is let in at the epoch of the others, and is part of the next snapshot', async () => {
  const { world, clock, driver, snapshot } = setUp();
  await snapshot('s1');
  const epochs: number[] = [];
  const plug = async (epoch: number) => void epochs.push(epoch);
  await driver.join(fakeVm('c', world, clock), plug);
  assert.equal(epochs, [1]);
  const timeline = await snapshot('s2');
  assert.equal(
    timeline.vms.map(vm => vm.name),
    ['a', 'b', 'c'],
  );
  assert.is((await rejection(driver.join(fakeVm('c', world, clock), plug))).code, 'TSVMM_E_CONFLICT');
});

test('join(): during a snapshot, waits until that does not concern it, and is no part of it', async () => {
  const { world, clock, driver, snapshot } = setUp();
  world.hanging = 'save a';
  const result = snapshot('s1');
  await driver.join(fakeVm('c', world, clock), async epoch => assert.is(epoch, 1));
  world.release();
  assert.equal(
    (await result).vms.map(vm => vm.name),
    ['a', 'b'],
  );
});

test('join(): a VM that cannot be plugged in is not in the cluster, and snapshots go on', async () => {
  const { world, clock, driver, snapshot } = setUp();
  const joining = driver.join(fakeVm('c', world, clock), async () => {
    await settle();
    throw new TsvmmError('TSVMM_E_NET', 'no such network');
  });
  const result = snapshot('s1');
  assert.is((await rejection(joining)).code, 'TSVMM_E_NET');
  assert.is((await result).vms.length, 2);
});

test('join(): a VM that ends while it waits is not let in', async () => {
  const { world, clock, driver, snapshot } = setUp();
  world.hanging = 'cut a';
  const result = snapshot('s1');
  const joining = driver.join(fakeVm('c', world, clock), async () => assert.unreachable());
  driver.leave('c', new TsvmmError('TSVMM_E_GUEST_CRASH', 'it has crashed'));
  assert.is((await rejection(joining)).code, 'TSVMM_E_GUEST_CRASH');
  world.release();
  await result;
});

test.run();
