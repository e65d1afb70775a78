import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  Coordinator,
  type CoordinatorOptions,
  defaultLimits,
} from '../../../snapshot/cluster/coordinator.ts';
import { MAXIMUM_EPOCH } from '../../../snapshot/cluster/filter.ts';
import type { Command, Input, SnapshotEvent, SnapshotRequest } from '../../../snapshot/cluster/protocol.ts';
import type { SerializedError } from '../../../vmm/errors.ts';

const test = suite('Coordinator');

const failure: SerializedError = { code: 'TSVMM_E_DISK', message: 'the disk is full', causes: [] };
const cut = { suspended_us: 1, crossed_us: 2, resumed_us: 3, kick_us: 1, state_us: 1, arm_us: 1 };
const saved = {
  pages_total: 1,
  pages_zero: 0,
  pages_eager: 0,
  pages_active: 1,
  cow_faults: 0,
  vmm_write_saves: 0,
  fallbacks: 0,
  memory_bytes: 4096,
  disk_bytes: 0,
};

/** A coordinator of VMs a and b, with what it has commanded in short words: "cut-vm a". */
class Bench {
  readonly coordinator: Coordinator;
  readonly events: SnapshotEvent[] = [];
  now_us = 0;
  private ids = 0;

  constructor(options: Partial<CoordinatorOptions> = {}) {
    this.coordinator = new Coordinator({ ...defaultLimits, epoch: 0, vms: ['a', 'b'], ...options });
  }

  feed(input: Input): string[] {
    const commands = this.coordinator.handle(input, this.now_us);
    for (const command of commands) if (command.kind === 'report') this.events.push(command.event);
    return commands.filter(command => command.kind !== 'report').map(inShort);
  }

  request(over: Partial<SnapshotRequest> = {}): string[] {
    const id = this.ids++;
    return this.feed({
      kind: 'snapshot-requested',
      request: { id, name: `s${id}`, mode: 'hold', timeout_us: 1_000_000, ...over },
    });
  }

  /** Feeds one input per word: "vm-ready a", "image-ready"; answers the commands of the last. */
  feedAll(epoch: number, ...words: string[]): string[] {
    let commands: string[] = [];
    for (const word of words) {
      const [kind, vm = ''] = word.split(' ');
      commands = this.feed({ kind, vm, epoch, cut, saved, failure, frames: new Map() } as unknown as Input);
    }
    return commands;
  }

  /** Takes the attempt to where both VMs have been told to cut. */
  toCutting(epoch: number): string[] {
    this.request();
    return this.feedAll(epoch, 'image-ready', 'switch-ready', 'vm-ready a', 'vm-ready b');
  }

  toPublished(epoch: number): void {
    this.toCutting(epoch);
    this.feedAll(epoch, 'vm-cut a', 'vm-cut b', 'channel-recorded', 'vm-saved a', 'vm-saved b', 'published');
  }

  tick(now_us: number): string[] {
    this.now_us = now_us;
    return this.feed({ kind: 'tick' });
  }

  /** The failure that was reported for a request, if it was. */
  failureOf(id: number): SerializedError | undefined {
    const event = this.events.find(one => one.kind === 'failed' && one.request.id === id);
    return event?.kind === 'failed' ? event.failure : undefined;
  }

  count(kind: SnapshotEvent['kind']): number {
    return this.events.filter(event => event.kind === kind).length;
  }
}

const inShort = (command: Command) => ('vm' in command ? `${command.kind} ${command.vm}` : command.kind);

test('takes a snapshot from the request to its publication', () => {
  const bench = new Bench();
  assert.equal(bench.request(), ['open-image']);
  assert.equal(bench.feedAll(1, 'image-ready'), ['open-switch', 'prepare-vm a', 'prepare-vm b']);
  assert.equal(bench.feedAll(1, 'vm-ready a', 'vm-ready b'), [], 'no cut before the filter is in force');
  assert.equal(bench.feedAll(1, 'switch-ready'), ['cut-vm a', 'cut-vm b']);
  assert.equal(bench.feedAll(1, 'vm-cut b'), ['release-held b', 'save-vm b']);
  assert.equal(bench.feedAll(1, 'vm-cut a'), ['release-held a', 'save-vm a', 'record-channel']);
  assert.equal(bench.feedAll(1, 'vm-saved a', 'vm-saved b'), [], 'not without its channels');
  assert.equal(bench.feedAll(1, 'channel-recorded'), ['publish']);
  assert.equal(bench.feedAll(1, 'published'), []);
  assert.ok(bench.coordinator.isIdle);
  assert.is(bench.count('published'), 1);
});

test('waits for the last VM that saves', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.feedAll(1, 'vm-cut a', 'vm-cut b', 'channel-recorded', 'vm-saved b');
  assert.equal(bench.feedAll(1, 'vm-saved a'), ['publish']);
});

test('cuts as many VMs at a time as it is told, and a marked one at once', () => {
  const bench = new Bench({ vms: ['a', 'b', 'c', 'd'], cutParallelism: 1 });
  bench.request();
  bench.feedAll(1, 'image-ready', 'switch-ready', 'vm-ready a', 'vm-ready b', 'vm-ready c');
  assert.equal(bench.feedAll(1, 'vm-ready d'), ['cut-vm a']);
  assert.equal(bench.feedAll(1, 'newer-marker c'), ['cut-vm c']);
  assert.equal(bench.feedAll(1, 'newer-marker c', 'held-full c'), [], 'once');
  assert.equal(bench.feedAll(1, 'held-full d'), ['cut-vm d']);
  bench.feedAll(1, 'vm-cut a', 'vm-cut c');
  assert.equal(bench.feedAll(1, 'vm-cut d'), ['release-held d', 'save-vm d', 'cut-vm b']);
  const causes = bench.events.flatMap(event => (event.kind === 'cut-commanded' ? [event.cause] : []));
  assert.equal(causes, ['command', 'newer-marker', 'held-full', 'command']);
});

test('takes a cut that a VM made by itself on a marker', () => {
  const bench = new Bench({ cutParallelism: 1 });
  bench.toCutting(1);
  assert.equal(bench.feedAll(1, 'vm-cut b'), ['release-held b', 'save-vm b']);
});

test('does not cut for a marker of another epoch, or before the filter is in force', () => {
  const bench = new Bench({ cutParallelism: 1 });
  bench.request();
  bench.feedAll(1, 'image-ready', 'vm-ready a', 'vm-ready b');
  assert.equal(bench.feedAll(1, 'newer-marker a'), []);
  bench.feedAll(1, 'switch-ready');
  assert.equal(bench.feedAll(2, 'newer-marker b'), []);
});

test('ignores duplicates and late messages of an earlier attempt', () => {
  const bench = new Bench();
  bench.toPublished(1);
  bench.toCutting(2);
  assert.equal(bench.feedAll(1, 'vm-cut a', 'vm-failed a', 'image-failed', 'vm-saved a', 'published'), []);
  bench.feedAll(2, 'vm-cut a');
  assert.equal(bench.feedAll(2, 'vm-cut a', 'vm-ready a', 'switch-ready', 'image-ready'), []);
  assert.is(bench.count('failed'), 0);
});

test('ignores a request that it knows already', () => {
  const bench = new Bench();
  bench.request({ id: 5 });
  assert.equal(bench.request({ id: 5, name: 'again' }), []);
  assert.is(bench.count('queued'), 1);
});

const failures: [when: string, before: string[], failing: string, commands: string[]][] = [
  ['the image cannot be made', [], 'image-failed', ['abort-switch']],
  ['a VM cannot prepare', ['image-ready'], 'vm-failed a', ['abort-switch', 'abort-vm a', 'abort-vm b']],
  [
    'a VM cannot be cut',
    ['image-ready', 'switch-ready', 'vm-ready a', 'vm-ready b', 'vm-cut a'],
    'vm-failed b',
    ['abort-switch', 'abort-vm a', 'abort-vm b'],
  ],
  [
    'a VM cannot be saved',
    ['image-ready', 'switch-ready', 'vm-ready a', 'vm-ready b', 'vm-cut a', 'vm-cut b', 'vm-saved a'],
    'vm-failed b',
    ['abort-switch', 'abort-vm a', 'abort-vm b'],
  ],
  [
    'the channels cannot be recorded',
    ['image-ready', 'switch-ready', 'vm-ready a', 'vm-ready b', 'vm-cut a', 'vm-cut b'],
    'channel-failed',
    ['abort-switch', 'abort-vm a', 'abort-vm b'],
  ],
];
for (const [when, before, failing, commands] of failures) {
  test(`aborts the whole snapshot when ${when}`, () => {
    const bench = new Bench();
    bench.request();
    bench.feedAll(1, ...before);
    assert.equal(bench.feedAll(1, failing), commands);
    const vms = commands.filter(command => command.startsWith('abort-vm')).map(command => command.slice(9));
    const last = bench.feedAll(1, 'switch-aborted', ...vms.map(vm => `vm-aborted ${vm}`));
    assert.equal(last, ['discard-image'], 'files are removed when nobody writes any more');
    assert.is(bench.failureOf(0), undefined, 'and the user hears of it after that');
    bench.feedAll(1, 'image-discarded');
    assert.is(bench.failureOf(0)?.code, 'TSVMM_E_DISK');
    assert.ok(bench.coordinator.isIdle);
  });
}

test('aborts when the image cannot be published', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.feedAll(1, 'vm-cut a', 'vm-cut b', 'channel-recorded', 'vm-saved a', 'vm-saved b');
  assert.equal(bench.feedAll(1, 'image-failed'), ['abort-switch', 'abort-vm a', 'abort-vm b']);
});

test('never uses an epoch again, not even one that was aborted', () => {
  const bench = new Bench({ epoch: 7 });
  bench.request();
  bench.feedAll(8, 'image-failed', 'switch-aborted', 'image-discarded');
  bench.request();
  assert.is(bench.coordinator.epoch, 9);
});

test('refuses when epochs are used up', () => {
  const bench = new Bench({ epoch: MAXIMUM_EPOCH });
  assert.equal(bench.request(), []);
  assert.is(bench.failureOf(0)?.code, 'TSVMM_E_CONFLICT');
});

test('begins the next one only when everybody has answered the abort of the last', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.request();
  bench.feedAll(1, 'vm-failed a', 'vm-aborted a', 'switch-aborted');
  assert.equal(bench.feedAll(1, 'vm-failed b', 'vm-cut b'), [], 'what an abort interrupts is no answer');
  bench.feedAll(1, 'vm-aborted b');
  assert.equal(bench.feedAll(1, 'image-discarded'), ['open-image']);
});

test('aborts on request, and keeps the others in the queue', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.request();
  bench.request();
  assert.equal(bench.feed({ kind: 'abort-requested', id: 1 }), []);
  assert.is(bench.failureOf(1)?.code, 'TSVMM_E_INTERRUPTED');
  assert.equal(bench.feed({ kind: 'abort-requested', id: 0 }), ['abort-switch', 'abort-vm a', 'abort-vm b']);
  bench.feedAll(1, 'switch-aborted', 'vm-aborted a', 'vm-aborted b');
  assert.equal(bench.feedAll(1, 'image-discarded'), ['open-image']);
  assert.is(bench.failureOf(0)?.code, 'TSVMM_E_INTERRUPTED');
  assert.is(bench.failureOf(2), undefined);
});

test('cannot be aborted once the order to publish is out', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.feedAll(1, 'vm-cut a', 'vm-cut b', 'channel-recorded', 'vm-saved a', 'vm-saved b');
  assert.equal(bench.feed({ kind: 'abort-requested', id: 0 }), []);
  assert.is(bench.coordinator.deadline_us, Number.POSITIVE_INFINITY);
  bench.feedAll(1, 'published');
  assert.is(bench.count('published'), 1);
});

test('aborts when a VM dies in the middle, and does not wait for it', () => {
  const bench = new Bench();
  bench.toCutting(1);
  const left = { kind: 'vm-left', vm: 'b', failure } as const;
  assert.equal(bench.feed(left), ['abort-switch', 'abort-vm a', 'abort-vm b']);
  assert.equal(bench.feedAll(1, 'switch-aborted', 'vm-aborted a'), ['discard-image']);
  bench.feedAll(1, 'image-discarded');
  assert.match(bench.failureOf(0)?.message ?? '', /"b"/);
  bench.request();
  assert.equal(bench.feedAll(2, 'image-ready'), ['open-switch', 'prepare-vm a']);
});

test('keeps what a VM has saved before it died', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.feedAll(1, 'vm-cut a', 'vm-cut b', 'channel-recorded', 'vm-saved b');
  assert.equal(bench.feed({ kind: 'vm-left', vm: 'b', failure }), []);
  assert.equal(bench.feedAll(1, 'vm-saved a'), ['publish']);
});

test('aborts when a VM dies after its save, but before frames on their way to it are recorded', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.feedAll(1, 'vm-cut a', 'vm-cut b', 'vm-saved b');
  const left = { kind: 'vm-left', vm: 'b', failure } as const;
  assert.equal(bench.feed(left), ['abort-switch', 'abort-vm a', 'abort-vm b']);
});

test('does not wait for the abort of a VM that died after its save', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.feedAll(1, 'vm-cut a', 'vm-cut b', 'vm-saved b', 'channel-recorded');
  bench.feed({ kind: 'vm-left', vm: 'b', failure });
  bench.feedAll(1, 'vm-failed a');
  assert.equal(bench.feedAll(1, 'switch-aborted', 'vm-aborted a'), ['discard-image']);
});

test('fails everything when the switch has died, and takes nothing more', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.request();
  bench.feed({ kind: 'switch-died', failure });
  bench.feedAll(1, 'vm-aborted a', 'vm-aborted b', 'image-discarded');
  bench.request();
  assert.equal(
    [0, 1, 2].map(id => bench.failureOf(id)?.code),
    Array(3).fill('TSVMM_E_DISK'),
  );
});

test('does not wait for a switch that died before the snapshot failed elsewhere', () => {
  const bench = new Bench();
  bench.toCutting(1);
  bench.feedAll(1, 'vm-cut a', 'vm-cut b', 'channel-recorded', 'vm-saved a', 'vm-saved b');
  assert.equal(bench.feed({ kind: 'switch-died', failure }), [], 'it is not needed to publish');
  bench.feedAll(1, 'image-failed', 'vm-aborted a');
  assert.equal(bench.feedAll(1, 'vm-aborted b'), ['discard-image']);
});

test('times out while it waits, prepares or saves', () => {
  const bench = new Bench();
  bench.request({ timeout_us: 500 });
  bench.now_us = 100;
  bench.request({ timeout_us: 200 });
  assert.is(bench.coordinator.deadline_us, 300);
  assert.equal(bench.tick(299), []);
  bench.tick(300);
  assert.is(bench.failureOf(1)?.code, 'TSVMM_E_TIMEOUT');
  assert.is(bench.coordinator.deadline_us, 500);
  assert.equal(bench.tick(500), ['abort-switch']);
});

test('times out sooner while frames are held, and names who does not cut', () => {
  const bench = new Bench({ cutTimeout_us: 50 });
  bench.toCutting(1);
  bench.feedAll(1, 'vm-cut a');
  assert.is(bench.coordinator.deadline_us, 50);
  assert.equal(bench.tick(50), ['abort-switch', 'abort-vm a', 'abort-vm b']);
  bench.feedAll(1, 'switch-aborted', 'vm-aborted a', 'vm-aborted b', 'image-discarded');
  assert.match(bench.failureOf(0)?.message ?? '', /^VM "b" did not stop/);
});

test('reports an abort that takes long, once, and does not begin the next one', () => {
  const bench = new Bench({ abortTimeout_us: 70 });
  bench.toCutting(1);
  bench.request();
  bench.feedAll(1, 'vm-failed a', 'vm-aborted a');
  assert.is(bench.coordinator.deadline_us, 70);
  assert.equal(bench.tick(70), []);
  assert.match(bench.failureOf(0)?.message ?? '', /VM "b", the network switch still/);
  bench.feedAll(1, 'vm-aborted b', 'switch-aborted');
  assert.equal(bench.feedAll(1, 'image-discarded'), ['open-image']);
  assert.is(bench.count('failed'), 1);
});

test('a snapshot that has failed gives its name back, though it is still being cleaned up', () => {
  const bench = new Bench({ abortTimeout_us: 70 });
  bench.request({ name: 'x' });
  bench.feedAll(1, 'image-failed', 'switch-aborted');
  bench.request({ name: 'x' });
  assert.is(bench.failureOf(1)?.code, 'TSVMM_E_CONFLICT', 'nobody was told yet');
  bench.tick(70);
  assert.equal(bench.request({ name: 'x' }), [], 'begins when nothing of the first is left');
  assert.equal(bench.feedAll(1, 'image-discarded'), ['open-image']);
  assert.is(bench.failureOf(2), undefined);
});

test('refuses a name that is being taken, a full queue, and a cluster without VMs', () => {
  const bench = new Bench({ maximumQueued: 1 });
  bench.request({ name: 'x' });
  bench.request({ name: 'x' });
  bench.request({ name: 'y' });
  bench.request({ name: 'z' });
  assert.equal(
    [1, 2, 3].map(id => bench.failureOf(id)?.code),
    ['TSVMM_E_CONFLICT', undefined, 'TSVMM_E_CONFLICT'],
  );
  const empty = new Bench({ vms: [] });
  empty.request();
  assert.is(empty.failureOf(0)?.code, 'TSVMM_E_CONFLICT');
});

test('lets a VM join between snapshots, at the epoch that all are in, and begins none until it is there', () => {
  const bench = new Bench({ epoch: 3 });
  assert.equal(bench.feed({ kind: 'vm-joining', vm: 'c' }), ['admit-vm c']);
  assert.equal(bench.feed({ kind: 'vm-joining', vm: 'c' }), []);
  assert.equal(bench.request(), []);
  assert.equal(bench.feed({ kind: 'vm-joined', vm: 'c' }), ['open-image']);
  assert.equal(bench.feedAll(4, 'image-ready').slice(1), ['prepare-vm a', 'prepare-vm b', 'prepare-vm c']);
});

test('does not wait for a VM that was let in and left', () => {
  const bench = new Bench();
  bench.feed({ kind: 'vm-joining', vm: 'c' });
  bench.request();
  assert.equal(bench.feed({ kind: 'vm-left', vm: 'c', failure }), ['open-image']);
});

test('lets a VM join during a snapshot when its channels are recorded, and not into it', () => {
  const bench = new Bench();
  bench.toCutting(1);
  assert.equal(bench.feed({ kind: 'vm-joining', vm: 'c' }), []);
  bench.feedAll(1, 'vm-cut a', 'vm-cut b');
  assert.equal(bench.feedAll(1, 'channel-recorded'), ['admit-vm c']);
  bench.feedAll(1, 'vm-saved a');
  assert.equal(bench.feedAll(1, 'vm-saved b'), ['publish']);
});

test('lets a VM join after an abort only when all ports are in the epoch', () => {
  const bench = new Bench();
  bench.request();
  bench.feed({ kind: 'vm-joining', vm: 'c' });
  bench.feedAll(1, 'image-failed');
  bench.feedAll(1, 'switch-aborted');
  assert.equal(bench.feedAll(1, 'image-discarded'), ['admit-vm c']);
});

test.run();
