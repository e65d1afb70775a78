import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { xsaveAreaOf } from '../../../../vmm/arch/x86_64/xsave-area.ts';

const test = suite('xsaveAreaOf()');
const leaf = (index: number, ebx: number, ecx = 0) => ({ function: 0xd, index, ebx, ecx });

test('offsets and length are those of leaf 0DH', () => {
  const leaves = [{ function: 7, index: 0, ebx: 1, ecx: 1 }, leaf(0, 832, 2440), leaf(2, 576), leaf(6, 896)];
  assert.equal(xsaveAreaOf([...leaves, leaf(7, 1408)]), {
    bytes: 2440,
    ymmHigh: 576,
    zmmHigh: 896,
    zmm16: 1408,
  });
});

test('a processor without some of the vectors has them where others have them', () => {
  assert.equal(xsaveAreaOf([leaf(0, 832, 832), leaf(2, 576)]), {
    bytes: 832,
    ymmHigh: 576,
    zmmHigh: 1152,
    zmm16: 1664,
  });
});

test('without XSAVE there is no area', () => {
  assert.is(xsaveAreaOf([]), undefined);
  assert.is(xsaveAreaOf([leaf(0, 0, 0)]), undefined);
});

test.run();
