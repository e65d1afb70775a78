import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EncodingTable } from '../../../../../vmm/arch/x86_64/emulate/encoding.ts';
import { emulatedInstructions } from '../../../../../vmm/arch/x86_64/emulate/families/index.ts';

test('EncodingTable: every encoding of the list can be read', () => {
  assert.not.throws(() => new EncodingTable(emulatedInstructions));
});

for (const encoding of ['0F', '0F 01 /9', 'F3 0F B8 x', '', '0F ZZ']) {
  test(`EncodingTable: "${encoding}" is refused`, () => {
    assert.throws(() => new EncodingTable([{ encoding, name: '', execute: () => {} }]), /bad encoding/);
  });
}

test.run();
