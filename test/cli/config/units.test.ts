import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatSize, parseShare, parseSize } from '../../../cli/config/units.ts';

test('parseSize: units are powers of 1024, with or without iB', () => {
  assert.is(parseSize('64MiB'), 64 * 2 ** 20);
  assert.is(parseSize('1G'), 2 ** 30);
  assert.is(parseSize('1.5GiB'), 1.5 * 2 ** 30);
  assert.is(parseSize('512 KiB'), 512 * 1024);
  assert.is(parseSize('2T'), 2 * 2 ** 40);
});

test('parseSize: refuses what has no unit, a decimal unit, a sign or too many digits', () => {
  for (const text of [
    '',
    '64',
    '64MB',
    '64B',
    '-1G',
    '+1G',
    '1e3M',
    '1GiBs',
    ' 1G',
    '1g',
    '9999999T',
    '0x10M',
  ]) {
    assert.is(parseSize(text), undefined, text);
  }
});

test('formatSize: the largest unit that is exact, and parseSize reads it back', () => {
  assert.is(formatSize(2 ** 30), '1GiB');
  assert.is(formatSize(1.5 * 2 ** 30), '1536MiB');
  assert.is(formatSize(100), '100B');
  for (const bytes of [1024, 4096 * 3, 2 ** 20, 2 ** 31, 5 * 2 ** 40])
    assert.is(parseSize(formatSize(bytes)), bytes);
});

test('parseShare: fractions and percentages from 0 to 1', () => {
  assert.is(parseShare(0.01), 0.01);
  assert.is(parseShare('0.5%'), 0.005);
  assert.is(parseShare('100 %'), 1);
  for (const value of [1.5, -0.1, Number.NaN, '101%', '1', '%', '-1%'])
    assert.is(parseShare(value), undefined, String(value));
});

test.run();
