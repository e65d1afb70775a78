import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { deriveMac, parseIpv4Interface, parseMac } from '../../../cli/config/addresses.ts';

test('parseIpv4Interface: address and prefix length', () => {
  assert.equal(parseIpv4Interface('10.0.0.1/24'), { address: '10.0.0.1', prefix: 24 });
  assert.equal(parseIpv4Interface('192.168.1.0/31'), { address: '192.168.1.0', prefix: 31 });
});

test('parseIpv4Interface: says what is wrong', () => {
  const wrong: [string, RegExp][] = [
    ['10.0.0.1', /did you mean 10\.0\.0\.1\/24/],
    ['10.0.0.256/24', /greater than 255/],
    ['10.0.0.1/33', /from 1 to 32/],
    ['10.0.0.0/24', /network itself/],
    ['10.0.0.255/24', /broadcast/],
    ['224.0.0.1/24', /multicast/],
    ['fe80::1/64', /expected an IPv4/],
  ];
  for (const [text, message] of wrong) assert.match(String(parseIpv4Interface(text)), message, text);
});

test('parseMac: normal form, and no multicast', () => {
  assert.is(parseMac('52-54-00-AB-CD-EF'), '52:54:00:ab:cd:ef');
  for (const text of ['01:00:00:00:00:00', '00:00:00:00:00:00', '52:54:00:ab:cd', 'x'])
    assert.type(parseMac(text), 'object', text);
});

test('deriveMac: locally administered, stable, and different for each NIC', () => {
  assert.is(deriveMac('pair', 'server', 0), deriveMac('pair', 'server', 0));
  const macs = new Set<string>();
  for (let vm = 0; vm < 100; vm++) {
    for (let nic = 0; nic < 8; nic++) macs.add(deriveMac('ring', `node${vm}`, nic));
  }
  assert.is(macs.size, 800);
  for (const mac of macs) {
    assert.match(mac, /^02(:[0-9a-f]{2}){5}$/);
    assert.is(parseMac(mac), mac);
  }
});

test.run();
