import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EncodingTable } from '../../../../../vmm/arch/x86_64/emulate/encoding.ts';
import { emulatedInstructions } from '../../../../../vmm/arch/x86_64/emulate/families/index.ts';

test('EncodingTable: every encoding of the list can be read, and none overlaps another', () => {
  assert.not.throws(() => new EncodingTable(emulatedInstructions));
});

for (const encoding of ['0F', '0F 01 /9', 'F3 0F B8 x', '', '0F ZZ']) {
  test(`EncodingTable: "${encoding}" is refused`, () => {
    assert.throws(() => new EncodingTable([{ encoding, name: '', execute: () => {} }]), /bad encoding/);
  });
}

const overlapping = [
  ['0F C7 /7 r', 'F3 0F C7 /7 r'],
  ['0F 01 F8', 'NP 0F 01 /7 r'],
  ['F3 0F B8 /r', 'F3 0F B8 /r W1'],
] as const;
for (const pair of overlapping) {
  test(`EncodingTable: ${pair.join(' and ')} overlap, and are refused`, () => {
    const list = pair.map(encoding => ({ encoding, name: '', execute: () => {} }));
    assert.throws(() => new EncodingTable(list), /overlap/);
  });
}

test.run();
