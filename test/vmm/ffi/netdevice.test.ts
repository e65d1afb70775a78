import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as netdevice from '../../../vmm/ffi/netdevice.ts';
import { evaluateC, lacksCompiler } from '../../support/c-program.ts';
import { testUnless } from '../../support.ts';

const test = suite('netdevice');

testUnless(lacksCompiler(), test, 'netdevice: numbers are those of the kernel headers', () => {
  const prefixed = (prefix: string, numbers: Record<string, number>) =>
    Object.entries(numbers).map(([name, value]): [string, number] => [`${prefix}_${name}`, value]);
  const single = Object.entries(netdevice).filter(([, value]) => typeof value === 'number') as [
    string,
    number,
  ][];
  const expected = [...single, ...prefixed('IFF', netdevice.IFF), ...prefixed('TUN_F', netdevice.TUN_F)];
  const actual = evaluateC({
    headers: ['sys/ioctl.h', 'linux/if.h', 'linux/if_tun.h', 'linux/sockios.h'],
    expressions: expected.map(([name]) => `(unsigned)${name}`),
  });
  assert.equal(
    expected.map(([name]) => [name, Number(actual.get(`(unsigned)${name}`))]),
    expected,
  );
});

test.run();
