import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  amongPorts,
  ChannelRecorder,
  MAXIMUM_CHANNEL_BYTES,
  MAXIMUM_RECORD_BYTES,
  MINIMUM_RECORD_BYTES,
} from '../../../snapshot/cluster/channel.ts';
import { MAXIMUM_FRAME_BYTES, MINIMUM_FRAME_BYTES } from '../../../vmm/devices/virtio/net/frame.ts';
import { HEADER_BYTES } from '../../../vmm/devices/virtio/net/header.ts';
import { TsvmmError } from '../../../vmm/errors.ts';

const test = suite('channel');

test('limits: take every frame that virtio-net takes', () => {
  assert.is(MINIMUM_RECORD_BYTES, HEADER_BYTES + MINIMUM_FRAME_BYTES);
  assert.is(MAXIMUM_RECORD_BYTES, HEADER_BYTES + MAXIMUM_FRAME_BYTES);
});

test('ChannelRecorder: gives back what was recorded, in order', () => {
  const recorder = new ChannelRecorder(2);
  const bytes = new Uint8Array(60);
  recorder.record('a/net0', 'b/net0', 1, bytes);
  recorder.record('b/net0', 'a/net0', 0, bytes);
  assert.equal(recorder.finish(), {
    epoch: 2,
    frames: [
      { sender: 'a/net0', receiver: 'b/net0', epoch: 1, bytes },
      { sender: 'b/net0', receiver: 'a/net0', epoch: 0, bytes },
    ],
  });
});

test('ChannelRecorder: fails as a whole when one frame was too many', () => {
  const recorder = new ChannelRecorder(1);
  const bytes = new Uint8Array(MAXIMUM_RECORD_BYTES);
  for (let total = 0; total <= MAXIMUM_CHANNEL_BYTES; total += bytes.length) {
    recorder.record('a/net0', 'b/net0', 0, bytes);
  }
  recorder.record('a/net0', 'b/net0', 0, bytes.subarray(0, 60));
  assert.throws(
    () => recorder.finish(),
    (error: unknown) => error instanceof TsvmmError && error.code === 'TSVMM_E_NET',
  );
});

test('amongPorts: keeps what both ends are known of', () => {
  const frame = (sender: string, receiver: string) => ({
    sender,
    receiver,
    epoch: 0,
    bytes: new Uint8Array(60),
  });
  const frames = [frame('a/net0', 'b/net0'), frame('a/net0', 'tsvmm0'), frame('gone/net0', 'b/net0')];
  const channel = amongPorts({ epoch: 1, frames }, new Set(['a/net0', 'b/net0', 'c/net0']));
  assert.equal(channel, { epoch: 1, frames: frames.slice(0, 1) });
});

test.run();
