import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testUnless } from '../../support.ts';
import { Cable, type FrameFilter, tcpPayload } from './cable.ts';
import { fatalOf, type GuestEvent, imageOrObstacle, lastStat, Microvm } from './microvm.ts';

const test = suite('bench guest: TCP workloads');
const { image, obstacle } = await imageOrObstacle();
const check = (name: string, body: () => Promise<void>) => testUnless(obstacle, test, name, body);

const SERVER = 0;
const CLIENT = 1;

/** Boots a guest at each end of a cable; answers the events of both when the client has ended. */
async function runPair(
  serverWords: string,
  clientWords: string,
  { filter, serverDelayMs = 0 }: { filter?: FrameFilter; serverDelayMs?: number } = {},
): Promise<{ server: readonly GuestEvent[]; client: readonly GuestEvent[] }> {
  const cable = await Cable.lay(filter);
  const client = new Microvm(image, `${clientWords} ip=10.0.0.2/24`, { devices: cable.card(CLIENT) });
  await new Promise(resolve => setTimeout(resolve, serverDelayMs));
  const server = new Microvm(image, `${serverWords} ip=10.0.0.1/24 stat=200`, {
    devices: cable.card(SERVER),
  });
  try {
    await client.ended;
    return { server: server.events, client: client.events };
  } finally {
    server.kill();
    client.kill();
    await server.ended;
    cable.remove();
  }
}

check('requests are answered, on several connections, some deep, of any size', async () => {
  for (const words of ['size=64', 'size=1000 conns=4 depth=8', 'size=200000 depth=2']) {
    const { server, client } = await runPair(
      'tcp-server port=7',
      `tcp-client peer=10.0.0.1 port=7 ${words} run=1`,
    );
    assert.is(fatalOf(client), undefined);
    assert.is(fatalOf(server), undefined);
    assert.ok((lastStat(client, 'tcp-client').ops ?? 0) > 20, words);
    assert.ok((lastStat(server, 'tcp-server').ops ?? 0) > 10, words);
  }
});

check('the client waits for a server that boots later', async () => {
  const { client } = await runPair('tcp-server port=7', 'tcp-client peer=10.0.0.1 port=7 run=3', {
    serverDelayMs: 1500,
  });
  assert.is(fatalOf(client), undefined);
  assert.ok((lastStat(client, 'tcp-client').ops ?? 0) > 20);
});

check('a stream is taken whole', async () => {
  const { server, client } = await runPair(
    'stream-server port=9',
    'stream-client peer=10.0.0.1 port=9 run=1',
  );
  assert.is(fatalOf(client), undefined);
  assert.is(fatalOf(server), undefined);
  assert.ok((lastStat(client, 'stream-client').bytes ?? 0) > 1_000_000);
});

check('trace names every n-th message on both sides, in order', async () => {
  const { server, client } = await runPair(
    'tcp-server port=7 trace=10',
    'tcp-client peer=10.0.0.1 port=7 trace=10 run=1',
  );
  for (const [events, first] of [[client, 'send'] as const, [server, 'recv'] as const]) {
    const messages = events.filter(({ event }) => event === 'msg');
    assert.ok(messages.length > 8);
    assert.is(messages[0]?.dir, first);
    assert.is(messages[0]?.seq, 0);
    const received = messages.filter(({ dir }) => dir === 'recv').map(({ seq }) => seq);
    assert.equal(
      received,
      received.map((_, index) => index * 10),
    );
  }
});

/** Answers true every n-th time. */
const everyNth = (n: number) => {
  let count = 0;
  return () => ++count % n === 0;
};

check('lost, doubled and reordered frames are retransmitted and cost no message', async () => {
  const [loses, doubles, delays] = [everyNth(37), everyNth(23), everyNth(19)];
  const delayed: (Buffer | undefined)[] = [];
  const filter: FrameFilter = (frame, from) => {
    if (tcpPayload(frame) === undefined) return [frame];
    if (loses()) return [];
    const copies = doubles() ? [frame, frame] : [frame];
    const before = delayed[from];
    delayed[from] = undefined;
    if (before !== undefined) return [...copies, before];
    if (!delays()) return copies;
    delayed[from] = Buffer.from(frame);
    return [];
  };
  const { server, client } = await runPair(
    'tcp-server port=7',
    'tcp-client peer=10.0.0.1 port=7 size=3000 conns=3 run=4',
    { filter },
  );
  assert.is(fatalOf(client), undefined);
  assert.is(fatalOf(server), undefined);
  const { ops = 0, retransmits = 0 } = lastStat(client, 'tcp-client');
  assert.ok(ops > 20, `${ops} requests`);
  assert.ok(retransmits > 0);
});

/** Swaps two words of a payload, which TCP's checksum does not notice. */
function swapWords(frame: Buffer): Buffer {
  const { offset = 0, length = 0 } = tcpPayload(frame) ?? {};
  const spoiled = Buffer.from(frame);
  const at = offset + (length >> 1) - ((length >> 1) % 2);
  frame.copy(spoiled, at, at + 2, at + 4);
  frame.copy(spoiled, at + 2, at, at + 2);
  return spoiled;
}

const spoilAfter = (count: number): FrameFilter => {
  let seen = 0;
  return frame => [tcpPayload(frame) !== undefined && ++seen === count ? swapWords(frame) : frame];
};

check('a damaged message is fatal though TCP accepts it', async () => {
  const { server, client } = await runPair('tcp-server port=7', 'tcp-client peer=10.0.0.1 port=7 run=2', {
    filter: spoilAfter(40),
  });
  const why = fatalOf(client) ?? fatalOf(server);
  assert.match(why ?? '', /^tcp-(client|server): message \d+ from .*: damaged/);
});

check('a damaged stream is fatal though TCP accepts it', async () => {
  const { server } = await runPair('stream-server port=9', 'stream-client peer=10.0.0.1 port=9 run=2', {
    filter: spoilAfter(40),
  });
  assert.match(fatalOf(server) ?? '', /^stream-server: .* lost, doubled or damaged/);
});

check('a server that comes back without the connection is fatal for the client', async () => {
  const cable = await Cable.lay();
  const boot = () => new Microvm(image, 'tcp-server port=7 ip=10.0.0.1/24', { devices: cable.card(SERVER) });
  const client = new Microvm(image, 'tcp-client peer=10.0.0.1 port=7 ip=10.0.0.2/24 stat=100', {
    devices: cable.card(CLIENT),
  });
  let server = boot();
  try {
    await client.until(({ event, ops }) => event === 'stat' && (ops as number) > 10);
    server.kill();
    await server.ended;
    server = boot();
    assert.match(
      fatalOf(await client.ended) ?? '',
      /^tcp-client: the connection to 10.0.0.1:7 was reset after/,
    );
  } finally {
    server.kill();
    client.kill();
    await server.ended;
    cable.remove();
  }
});

test.run();
