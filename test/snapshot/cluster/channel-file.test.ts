import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ChannelState } from '../../../snapshot/cluster/channel.ts';
import { decodeChannel, encodeChannel } from '../../../snapshot/cluster/channel-file.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { Random } from './simulation/random.ts';

const test = suite('channel file');

const HEADER_BYTES = 24;
const DIGEST_BYTES = 32;
const ports = ['client/net0', 'server/net0', 'server/net1'];
const expected = { epoch: 7, ports: new Set(ports) };

const frame = (sender: string, receiver: string, epoch: number, length: number, fill: number) => ({
  sender,
  receiver,
  epoch,
  bytes: new Uint8Array(length).fill(fill),
});
const channel: ChannelState = {
  epoch: 7,
  frames: [
    frame('server/net1', 'client/net0', 6, 26, 1),
    frame('client/net0', 'server/net0', 2, 1526, 2),
    frame('server/net1', 'client/net0', 6, 65_569, 3),
  ],
};

const isRefused = (text?: RegExp) => (error: unknown) =>
  error instanceof TsvmmError &&
  error.code === 'TSVMM_E_SNAPSHOT_CORRUPT' &&
  (text === undefined || text.test(error.message));

/** The file with `change` made to it and its checksum put right: what a hostile writer would do. */
function forged(change: (file: Buffer) => Buffer | undefined): Uint8Array {
  const file = Buffer.from(encodeChannel(channel));
  const body = file.subarray(0, -DIGEST_BYTES);
  const changed = change(body) ?? body;
  return Buffer.concat([changed, createHash('sha256').update(changed).digest()]);
}

const plain = (state: ChannelState) => ({
  ...state,
  frames: state.frames.map(one => ({ ...one, bytes: [...one.bytes] })),
});

test('decodeChannel: gives back what encodeChannel was given', () => {
  assert.equal(plain(decodeChannel(encodeChannel(channel), expected)), plain(channel));
});

test('decodeChannel: takes a channel without a frame', () => {
  assert.equal(decodeChannel(encodeChannel({ epoch: 7, frames: [] }), expected), { epoch: 7, frames: [] });
});

test('encodeChannel: writes the same bytes for the same channel', () => {
  const again = encodeChannel(decodeChannel(encodeChannel(channel), expected));
  assert.ok(Buffer.from(again).equals(encodeChannel(channel)));
});

test('encodeChannel: refuses to write what it could not read', () => {
  const broken = [
    frame('client/net0', 'client/net0', 0, 60, 0),
    frame('client/net0', 'server/net0', 7, 60, 0),
    frame('client/net0', 'server/net0', 0, 25, 0),
    frame('client/net0', 'server/net0', 0, 65_570, 0),
    frame('client', 'server/net0', 0, 60, 0),
  ];
  for (const one of broken) {
    assert.throws(
      () => encodeChannel({ epoch: 7, frames: [one] }),
      (error: unknown) => error instanceof TsvmmError && error.code === 'TSVMM_E_INTERNAL',
    );
  }
});

test('decodeChannel: refuses the file cut off anywhere', () => {
  const file = encodeChannel({ ...channel, frames: channel.frames.slice(0, 2) });
  for (let length = 0; length < file.length; length++) {
    assert.throws(() => decodeChannel(file.subarray(0, length), expected), isRefused());
  }
});

test('decodeChannel: refuses the file with any bit flipped', () => {
  const file = encodeChannel({ ...channel, frames: channel.frames.slice(0, 1) });
  for (let bit = 0; bit < file.length * 8; bit++) {
    const flipped = file.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.throws(() => decodeChannel(flipped, expected), isRefused());
  }
});

test('decodeChannel: refuses a file of another snapshot', () => {
  assert.throws(() => decodeChannel(encodeChannel(channel), { ...expected, epoch: 8 }), isRefused(/epoch 7/));
  const without = { epoch: 7, ports: new Set(ports.slice(0, 2)) };
  assert.throws(() => decodeChannel(encodeChannel(channel), without), isRefused(/not in the snapshot/));
});

const NAMES_BYTES = ports.reduce((sum, name) => sum + 1 + name.length, 0);
const FIRST_FRAME = HEADER_BYTES + NAMES_BYTES;
const forgeries: [what: string, change: (file: Buffer) => Buffer | undefined, complaint: RegExp][] = [
  ['version', file => void file.writeUInt32LE(2, 8), /version 2/],
  ['epoch 0', file => void file.writeUInt32LE(0, 12), /epoch 0/],
  ['number of ports', file => void file.writeUInt32LE(0xffff_ffff, 16), /ports/],
  ['one port too few', file => void file.writeUInt32LE(2, 16), /./],
  ['number of frames', file => void file.writeUInt32LE(0xffff_ffff, 20), /claims/],
  ['one frame too few', file => void file.writeUInt32LE(2, 20), /follow its last frame/],
  ['one frame too many', file => void file.writeUInt32LE(4, 20), /ends too early/],
  ['length of a name', file => void file.writeUInt8(255, HEADER_BYTES), /port name/],
  ['empty name', file => void file.writeUInt8(0, HEADER_BYTES), /port name/],
  ['name that climbs', file => void file.write('../../net1', HEADER_BYTES + 1), /port name/],
  ['name that is not ASCII', file => void file.writeUInt8(0xe9, HEADER_BYTES + 1), /port name/],
  ['length of a frame', file => void file.writeUInt32LE(0xffff_ffff, FIRST_FRAME), /a frame of/],
  ['short frame', file => void file.writeUInt32LE(25, FIRST_FRAME), /a frame of/],
  ['port out of range', file => void file.writeUInt16LE(3, FIRST_FRAME + 4), /out of place/],
  ['ports in another order', file => void file.writeUInt16LE(1, FIRST_FRAME + 4), /out of place/],
  ['frame to itself', file => void file.writeUInt16LE(0, FIRST_FRAME + 6), /to itself/],
  ['frame of after the cut', file => void file.writeUInt32LE(7, FIRST_FRAME + 8), /not before the cut/],
  ['bytes behind the end', file => Buffer.concat([file, Buffer.alloc(5)]), /5 bytes follow/],
];
for (const [what, change, complaint] of forgeries) {
  test(`decodeChannel: refuses a forged file with a right checksum: ${what}`, () => {
    assert.throws(() => decodeChannel(forged(change), expected), isRefused(complaint));
  });
}

test('decodeChannel: either refuses a file of random damage or reads it as the same channel', () => {
  const random = new Random(1);
  for (let round = 0; round < 3_000; round++) {
    const bytes = forged(file => {
      for (let changes = random.between(1, 4); changes > 0; changes--) {
        file[random.between(0, FIRST_FRAME + 60)] = random.between(0, 255);
      }
      return random.chance(0.2) ? file.subarray(0, random.between(0, file.length)) : file;
    });
    try {
      const decoded = decodeChannel(bytes, expected);
      // Only the contents of frames and their old markers are free.
      assert.equal(
        decoded.frames.map(one => one.bytes.length),
        channel.frames.map(one => one.bytes.length),
      );
    } catch (error) {
      assert.ok(isRefused()(error), String(error));
    }
  }
});

test.run();
