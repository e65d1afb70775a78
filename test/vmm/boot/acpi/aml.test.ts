import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  and,
  buffer,
  device,
  dwordField,
  edgeInterrupt,
  eisaId,
  integer,
  local,
  memory32Fixed,
  method,
  name,
  notify,
  operationRegion,
  packageOf,
  ports,
  reference,
  resourceTemplate,
  scope,
  store,
  string,
  when,
} from '../../../../vmm/boot/acpi/aml.ts';

const test = suite('AML');

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Expectations are what iasl (20200925) makes of the ASL in the test's name. */
const encodings: [asl: string, aml: Uint8Array, expected: string][] = [
  ['Zero', integer(0), '00'],
  ['One', integer(1), '01'],
  ['0xFF', integer(0xff), '0aff'],
  ['0x1234', integer(0x1234), '0b3412'],
  ['0xFEDCBA98', integer(0xfedcba98), '0c98badcfe'],
  ['0x123456789ABC', integer(0x123456789abc), '0ebc9a785634120000'],
  ['"LNRO0005"', string('LNRO0005'), '0d4c4e524f3030303500'],
  ['EisaId ("PNP0C0C")', eisaId('PNP0C0C'), '0c41d00c0c'],
  ['Buffer () { 1, 2 }', buffer(new Uint8Array([1, 2])), '11050a020102'],
  ['Package () { 5, Zero }', packageOf(integer(5), integer(0)), '1205020a0500'],
  ['Name (_UID, One)', name('_UID', integer(1)), '085f55494401'],
  ['Name (\\_S5, 3)', name('\\_S5_', integer(3)), '085c5f53355f0a03'],
  [
    'Scope (\\_SB) { Device (A) {} }',
    scope('\\_SB_', device('A', new Uint8Array(0))),
    '100d5c5f53425f5b8205415f5f5f',
  ],
  [
    'OperationRegion (EREG, SystemIO, 0x604, 4)',
    operationRegion('EREG', 1, 0x604, 4),
    '5b8045524547010b04060a04',
  ],
  ['Field (EREG, DWordAcc) { EVNT, 32 }', dwordField('EREG', 'EVNT'), '5b810b455245470345564e5420'],
  ['Method (_EVT, 1, Serialized) {}', method('_EVT', 1), '14065f45565409'],
  ['Local0 = EVNT', store(reference('EVNT'), local(0)), '7045564e5460'],
  [
    'If (Local0 & 2) { Notify (\\_SB.PWRB, 0x80) }',
    when(and(local(0), integer(2)), notify('\\_SB_.PWRB', 0x80)),
    'a0137b600a0200865c2e5f53425f505752420a80',
  ],
  ['three segments', reference('\\_SB_.GED0.EVNT'), '5c2f035f53425f4745443045564e54'],
];
for (const [asl, aml, expected] of encodings) {
  test(asl, () => assert.is(hex(aml), expected));
}

test('resource descriptors end with a tag whose checksum is not given', () => {
  assert.is(hex(resourceTemplate()), '11050a027900');
  assert.is(hex(ports(0x3f8, 8)), '4701f803f8030108');
  assert.is(hex(memory32Fixed(0xd0000000, 0x1000)), '86090001000000d000100000');
  assert.is(hex(edgeInterrupt(5)), '8906000301' + '05000000');
});

for (const [content, length] of [
  [62, '3f'],
  [63, '4104'],
  [4093, '4fff'],
  [4094, '810001'],
  [1048572, '8fffff'],
  [1048573, 'c1000001'],
] as const) {
  test(`a term around ${content} bytes has its length in ${length.length / 2} bytes`, () => {
    const term = packageOf(new Uint8Array(content - 1));
    assert.is(hex(term.subarray(1, 1 + length.length / 2)), length);
    assert.is(term.length, 1 + length.length / 2 + content);
  });
}

test('what is no name, id or integer is refused', () => {
  for (const bad of ['', 'abc', 'TOOLONG', '1ABC', 'A..B']) assert.throws(() => reference(bad), RangeError);
  for (const bad of ['PNP', 'PNP0C0', 'pnp0C0C', 'PNP0C0G']) assert.throws(() => eisaId(bad), RangeError);
  for (const bad of [-1, 1.5, 2 ** 53]) assert.throws(() => integer(bad), RangeError);
});

test.run();
