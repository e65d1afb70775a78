import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testUnless } from '../../support.ts';
import { fatalOf, imageOrObstacle, lastStat, Microvm } from './microvm.ts';

const test = suite('bench guest: console protocol and workloads without devices');
const { image, obstacle } = await imageOrObstacle();
const boot = (words: string, options = {}) => new Microvm(image, words, options);
const run = (words: string, options = {}) => boot(words, options).ended;
const check = (name: string, body: () => Promise<void>) => testUnless(obstacle, test, name, body);

check('ready comes first, then a stat line each interval, then done', async () => {
  const events = await run('idle run=1 stat=250 vm=one');
  const [ready] = events;
  assert.is(ready?.event, 'ready');
  assert.is(ready?.vm, 'one');
  assert.equal(ready?.workloads, ['idle']);
  assert.is(ready?.vcpus, 1);
  assert.ok((ready?.memory_bytes as number) > 60 << 20);
  assert.is(events.at(-1)?.event, 'done');
  const stats = events.filter(({ event }) => event === 'stat');
  assert.ok(stats.length >= 3 && stats.length <= 6, `${stats.length} stat lines`);
  for (const field of ['t_ms', 'ops', 'errors', 'gap_us_max', 'retransmits']) {
    assert.type(stats[0]?.[field], 'number', field);
  }
});

check('without words the guest idles', async () => {
  const guest = boot('');
  const ready = await guest.untilEvent('ready');
  guest.kill();
  assert.equal(ready.workloads, ['idle']);
});

const mistakes: [words: string, why: RegExp][] = [
  ['dance', /unknown word dance/],
  ['idle dance=1', /unknown word dance=1/],
  ['idle idle', /unexpected word idle/],
  ['+ idle', /\+ without/],
  ['idle +', /\+ without/],
  ['spin + idle', /spin cannot be joined/],
  ['dirty size=4X', /bad value in the word size=4X/],
  ['dirty size=99999999999999999999', /bad value/],
  ['dirty style=slow', /bad value in the word style=slow/],
  ['dirty rate=999999999999', /rate=999999999999 is out of bounds/],
  ['dirty size=1G', /more than the \d+ bytes of free memory/],
  ['idle vcpus=17', /vcpus=17 is out of bounds/],
  ['idle ip=10.0.0.256/24', /bad value in the word ip=/],
  ['idle ip=10.0.0.1/24', /no network card/],
  ['tcp-client port=7', /tcp-client needs the word peer=/],
  ['tcp-client peer=10.0.0.1 port=7', /needs a network card/],
  ['disk', /there is no disk 0/],
  ['rng', /no virtio-rng device/],
];
check('a word that is unknown, malformed or missing is fatal and named', async () => {
  const slots = Array.from({ length: 2 }, async () => {
    for (let mistake = mistakes.pop(); mistake !== undefined; mistake = mistakes.pop()) {
      const [words, why] = mistake;
      const events = await run(words);
      assert.is(events.length, 1, `${words}: ${JSON.stringify(events)}`);
      assert.match(fatalOf(events) ?? '', why, words);
    }
  });
  await Promise.all(slots);
});

check('workloads joined by + share the vCPUs', async () => {
  const events = await run('cpu+dirty size=8M run=1', { vcpus: 2 });
  assert.is(fatalOf(events), undefined);
  assert.is(events[0]?.vcpus, 2);
  assert.ok((lastStat(events, 'cpu').ops ?? 0) > 10);
  assert.ok((lastStat(events, 'dirty').ops ?? 0) > 1000);
});

/** Runs until the workload's stat line counts that many operations; the guest must not have complained by then. */
async function runUntil(words: string, workload: string, operations: number, options = {}): Promise<void> {
  const guest = boot(`${words} stat=100`, options);
  await guest.until(
    ({ event, ...fields }) =>
      event === 'fatal' || (fields.workload === workload && (fields.ops as number) >= operations),
  );
  guest.kill();
  assert.is(fatalOf(await guest.ended), undefined, words);
}

check('dirty writes and checks pages in every style and pattern', async () => {
  for (const style of ['mov', 'stos', 'atomic', 'push', 'kernel', 'mixed']) {
    const words = (pattern: string) => `dirty size=1M style=${style} pattern=${pattern}`;
    // 256 pages: several sweeps, so that checked pages are rewritten.
    await Promise.all(['seq', 'random'].map(pattern => runUntil(words(pattern), 'dirty', 5 * 256)));
  }
});

check('dirty keeps a given rate, with a ticking timer too', async () => {
  const guests = ['', ' tick=200'].map(tick => run(`dirty size=2M rate=2000 run=2${tick}`));
  for (const events of await Promise.all(guests)) {
    const { ops = 0, t_ms = 0 } = lastStat(events, 'dirty');
    assert.ok(Math.abs(ops / (t_ms / 1000) - 2000) < 400, `${ops} in ${t_ms} ms`);
  }
});

check('dirty reaches RAM above 4 GiB', async () => {
  // Few pages: each may cost the host a huge page.
  await runUntil('dirty size=4G pattern=random rate=50', 'dirty', 40, { memory: '5G' });
});

check('spin and halt say nothing after ready', async () => {
  const guests = [boot('spin', { vcpus: 2 }), boot('halt', { vcpus: 2 })];
  await Promise.all(guests.map(guest => guest.untilEvent('ready')));
  await new Promise(resolve => setTimeout(resolve, 1300));
  for (const guest of guests) guest.kill();
  for (const guest of guests) assert.is((await guest.ended).length, 1);
});

check('fault ends or survives as its kind says', async () => {
  assert.is((await run('fault kind=triple')).at(-1)?.event, 'fault');
  assert.match(fatalOf(await run('fault kind=ud')) ?? '', /^exception 6 at rip 0x2/);
  assert.match(fatalOf(await run('fault kind=null')) ?? '', /^exception 14 at rip .* cr2 0x0,/);
  for (const kind of ['port', 'mmio', 'unknown']) {
    const events = await run(`fault kind=${kind} after=50 run=1`);
    assert.ok(
      events.some(({ event }) => event === 'survived'),
      kind,
    );
  }
});

check('exits measures every kind of exit', async () => {
  const events = await run('exits samples=50 run=1', { devices: ['-device', 'virtio-rng-device'] });
  const names = events.filter(({ event }) => event === 'measure').map(({ name }) => name);
  assert.equal(names, [
    ...['nothing', 'pio_exit', 'pio_in_exit', 'mmio_exit', 'ioeventfd', 'gate', 'lapic_write'],
    ...['console_byte', 'console_64_bytes'],
  ]);
});

check('rng reads the device again and again', async () => {
  const events = await run('rng rate=50 run=1', { devices: ['-device', 'virtio-rng-device'] });
  assert.is(fatalOf(events), undefined);
  const { ops = 0 } = lastStat(events, 'rng');
  assert.ok(ops >= 20 && ops <= 60, `${ops} reads`);
});

test.run();
