import { execFileSync, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PortCounters, PortTable } from '../../../net/counters.ts';
import type { NetMessage } from '../../../net/messages.ts';
import { openTap } from '../../../net/tap/tap-device.ts';
import { IoThread } from '../../../vmm/io/io-thread.ts';
import { counting } from './packets.ts';

const BYTES = 8 * 2 ** 20;

/** Counts and sums what a connection brings, in another network namespace. */
const SERVER = `
  let bytes = 0, sum = 0;
  require('net').createServer(socket => {
    socket.on('data', data => { for (const byte of data) sum = (sum * 31 + byte) >>> 0; bytes += data.length; });
    socket.on('end', () => { console.log(JSON.stringify({ bytes, sum })); process.exit(); });
  }).listen(9000, '10.79.0.2', () => console.log('ready'));`;

export interface Transfer {
  readonly received_bytes: number;
  readonly sum: number;
  readonly expectedSum: number;
  readonly counters: { readonly from: PortCounters; readonly to: PortCounters };
}

/**
 * Sends 8 MiB by TCP from this network namespace to another one. Their only link are two taps at a switch of ours:
 * the senders' and the receiver's kernel check every header and checksum.
 */
export async function transferThroughSwitch(fromOffloads: boolean, toOffloads: boolean): Promise<Transfer> {
  const namespace = `tsvmm-test-${process.pid}`;
  const ip = (...words: string[]) => execFileSync('ip', words);
  const table = new PortTable(PortTable.allocate());
  const thread = new IoThread<NetMessage>(import.meta.url, '../../../net/net-thread', {
    table: table.buffers,
  });
  const from = openTap({ name: 'from0', address: '10.79.0.1/24', offloads: fromOffloads }, 1500);
  const to = openTap({ name: 'to0', offloads: toOffloads }, 1500);
  ip('netns', 'add', namespace);
  try {
    ip('link', 'set', 'to0', 'netns', namespace);
    ip('-n', namespace, 'addr', 'add', '10.79.0.2/24', 'dev', 'to0');
    ip('-n', namespace, 'link', 'set', 'to0', 'up');
    await thread.request({
      kind: 'create-network',
      network: 0,
      setup: { name: 'lan', mtu: 1500, ageing_us: 3e8 },
    });
    for (const [id, tap] of [from, to].entries()) {
      await thread.request({
        kind: 'attach-tap',
        network: 0,
        setup: { id, name: tap.name, fd: tap.fd, offloads: tap.offloads },
      });
    }
    return { ...(await transfer(namespace)), counters: { from: table.snapshot(0), to: table.snapshot(1) } };
  } finally {
    await thread.stop();
    from.close();
    to.close();
    ip('netns', 'delete', namespace);
  }
}

async function transfer(namespace: string) {
  const server = spawn('ip', ['netns', 'exec', namespace, process.execPath, '-e', SERVER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  server.stdout.setEncoding('utf8').on('data', text => {
    output += text;
  });
  const ended = new Promise(resolve => server.on('close', resolve));
  while (!output.includes('ready')) await sleep(10);
  const data = counting(BYTES);
  const socket = connect(9000, '10.79.0.2');
  socket.end(data);
  await ended;
  const { bytes, sum } = JSON.parse(output.slice(output.indexOf('{'))) as { bytes: number; sum: number };
  let expectedSum = 0;
  for (const byte of data) expectedSum = (expectedSum * 31 + byte) >>> 0;
  return { received_bytes: bytes, sum, expectedSum };
}
