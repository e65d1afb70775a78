import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BROADCAST, formatMac, isGroup, macFromBytes, macToBytes, parseMac } from '../../net/mac.ts';
import { MacTable, Recent } from '../../net/mac-table.ts';

const test = suite('mac table');
const table = () => new MacTable<string>({ capacity: 10, capacityPerPort: 6, ageing_us: 1000 });

test('parseMac: addresses of network cards go in and come out, others are refused', () => {
  assert.is(parseMac('52:54:00:12:34:56'), 0x525400123456);
  assert.is(formatMac(0x525400123456), '52:54:00:12:34:56');
  assert.is(macFromBytes(macToBytes(0xfedcba987654)), 0xfedcba987654);
  for (const text of [
    '',
    '52:54:00:12:34',
    '53:54:00:12:34:56',
    '00:00:00:00:00:00',
    'ff:ff:ff:ff:ff:ff',
    '5g:54:00:12:34:56',
  ])
    assert.throws(() => parseMac(text), /not the MAC address/, text);
});

test('isGroup: by the lowest bit of the first byte', () => {
  assert.ok(isGroup(BROADCAST));
  assert.ok(isGroup(0x01005e000001));
  assert.not(isGroup(0x525400123456));
});

test('MacTable: learns, moves and forgets', () => {
  const macs = table();
  assert.ok(macs.learn(2, 'a', 0));
  assert.is(macs.find(2, 0), 'a');
  macs.learn(2, 'b', 500);
  assert.is(macs.find(2, 1500), 'b');
  assert.is(macs.find(2, 1501), undefined);
  assert.is(macs.size, 0);
});

test('MacTable: is bounded, for one port and for all, and takes new addresses when old ones have aged', () => {
  const macs = table();
  const learned = (port: string, count: number, now_us: number, first: number) =>
    Array.from({ length: count }, (_, i) => macs.learn(2 * (first + i), port, now_us)).filter(Boolean).length;
  assert.is(learned('a', 8, 0, 0), 6);
  assert.is(learned('b', 8, 0, 100), 4);
  assert.is(macs.size, 10);
  assert.is(learned('b', 8, 2e6, 200), 6);
});

test('MacTable: group addresses are not learned', () => {
  const macs = table();
  assert.ok(macs.learn(BROADCAST, 'a', 0));
  assert.is(macs.size, 0);
});

test('MacTable: a fixed address stays with its port, whoever claims it', () => {
  const macs = table();
  macs.learn(2, 'b', 0);
  assert.ok(macs.fix(2, 'a'));
  assert.not(macs.fix(2, 'b'));
  macs.learn(2, 'b', 0);
  assert.is(macs.find(2, 1e9), 'a');
  macs.unfix(2, 'b');
  assert.is(macs.find(2, 1e9), 'a');
  macs.unfix(2, 'a');
  assert.is(macs.find(2, 1e9), undefined);
});

test('MacTable.forget: all that is behind a port goes, and leaves room', () => {
  const macs = table();
  macs.fix(100, 'a');
  for (let i = 0; i < 6; i++) macs.learn(2 * i, 'a', 0);
  macs.learn(50, 'b', 0);
  macs.forget('a');
  assert.is(macs.size, 1);
  assert.is(macs.find(50, 0), 'b');
  assert.ok(macs.learn(2, 'a', 0));
});

test('Recent: a remembered answer is good until the table changes', () => {
  const macs = table();
  const recent = new Recent<string>();
  macs.learn(2, 'a', 0);
  assert.is(macs.findAgain(recent, 2, 0), 'a');
  assert.is(macs.findAgain(recent, 2, 0), 'a');
  macs.learn(2, 'b', 0);
  assert.is(macs.findAgain(recent, 2, 0), 'b');
  macs.forget('b');
  assert.is(macs.findAgain(recent, 2, 0), undefined);
  macs.learn(2, 'a', 0);
  assert.is(macs.findAgain(recent, 2, 0), 'a');
});

test.run();
