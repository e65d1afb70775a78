import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { OUTSIDE } from '../../../snapshot/cluster/filter.ts';
import { PortEpochs } from '../../../snapshot/cluster/port-epochs.ts';

const test = suite('PortEpochs');

test('raise(): goes up and never down', () => {
  const epochs = new PortEpochs(PortEpochs.allocate(2));
  epochs.raise(1, 5);
  epochs.raise(1, 3);
  assert.equal([epochs.of(0), epochs.of(1)], [0, 5]);
});

test('raise(): leaves a port to the outside alone', () => {
  const epochs = new PortEpochs(PortEpochs.allocate(1));
  epochs.assign(0, OUTSIDE);
  epochs.raise(0, 5);
  assert.is(epochs.of(0), OUTSIDE);
});

test('raise(): is seen through another view of the same memory', () => {
  const buffer = PortEpochs.allocate(1);
  new PortEpochs(buffer).raise(0, 7);
  assert.is(new PortEpochs(buffer).of(0), 7);
});

test.run();
