import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  FilterMode,
  filterFrame,
  MAXIMUM_EPOCH,
  NOT_RECORDING,
  OUTSIDE,
  Verdict,
} from '../../../snapshot/cluster/filter.ts';

const test = suite('filterFrame');
const { off, hold, drop } = FilterMode;

const cases: [
  what: string,
  frame: number,
  receiver: number,
  mode: FilterMode,
  recording: number,
  verdict: Verdict,
][] = [
  ['delivers between equals', 3, 3, hold, NOT_RECORDING, Verdict.deliver],
  ['delivers between equals that have both cut', 4, 4, hold, 4, Verdict.deliver],
  ['delivers between equals that have both yet to cut', 3, 3, hold, 4, Verdict.deliver],
  ['holds post-to-pre', 4, 3, hold, 4, Verdict.hold],
  ['drops post-to-pre in drop mode', 4, 3, drop, 4, Verdict.drop],
  ['records pre-to-post', 3, 4, hold, 4, Verdict.record],
  ['records pre-to-post in drop mode too', 3, 4, drop, 4, Verdict.record],
  ['records a frame of long ago', 1, 4, hold, 4, Verdict.record],
  ['does not record for a receiver that has not cut', 1, 3, hold, 4, Verdict.deliver],
  ['does not record when the recording is closed', 3, 4, hold, NOT_RECORDING, Verdict.deliver],
  ['delivers everything when off', 4, 3, off, 4, Verdict.deliver],
  ['records nothing when off', 3, 4, off, 4, Verdict.deliver],
  ['delivers from outside before the cut', OUTSIDE, 3, hold, 4, Verdict.deliver],
  ['does not record from outside after the cut', OUTSIDE, 4, hold, 4, Verdict.deliver],
  ['delivers to the outside', 4, OUTSIDE, hold, 4, Verdict.deliver],
  ['counts epochs up to the last one', MAXIMUM_EPOCH, MAXIMUM_EPOCH - 1, hold, MAXIMUM_EPOCH, Verdict.hold],
];

for (const [what, frame, receiver, mode, recording, verdict] of cases) {
  test(what, () => assert.is(filterFrame(frame, receiver, mode, recording), verdict));
}

test('keeps back exactly the newer frames, and records no frame that it keeps back', () => {
  for (const mode of [hold, drop]) {
    for (let frame = OUTSIDE; frame < 5; frame++) {
      for (let receiver = OUTSIDE; receiver < 5; receiver++) {
        for (let recording = 0; recording < 5; recording++) {
          const verdict = filterFrame(frame, receiver, mode, recording);
          const isInside = frame !== OUTSIDE && receiver !== OUTSIDE;
          assert.is(verdict >= Verdict.hold, isInside && frame > receiver);
          assert.is(
            verdict === Verdict.record,
            isInside && frame < recording && recording <= receiver && recording > 0,
          );
        }
      }
    }
  }
});

test.run();
