import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { linuxHostWords } from '../../../../vmm/boot/linux/host-words.ts';

const keysOf = (words: readonly string[]): (string | undefined)[] => words.map(word => word.split('=')[0]);

test('linuxHostWords(): nothing where KVM uses the processor', () => {
  assert.equal(linuxHostWords('console=ttyS0', 'vmx'), []);
  assert.equal(linuxHostWords('console=ttyS0', 'svm'), []);
});

test('linuxHostWords(): what a KVM in software wants', () => {
  assert.equal(keysOf(linuxHostWords('console=ttyS0', 'software')), [
    'clocksource',
    'clearcpuid',
    'nopti',
    'rodata',
  ]);
});

test("linuxHostWords(): users' own words win", () => {
  const cmdline = 'console=ttyS0 clocksource=tsc clearcpuid=smap pti=on rodata=on';
  assert.equal(linuxHostWords(cmdline, 'software'), []);
  assert.equal(keysOf(linuxHostWords('mitigations=off', 'software')), [
    'clocksource',
    'clearcpuid',
    'rodata',
  ]);
  assert.ok(linuxHostWords('mitigations=auto,nosmt', 'software').includes('nopti'));
});

test.run();
