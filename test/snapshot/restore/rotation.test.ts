import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Rotation } from '../../../snapshot/restore/rotation.ts';

const test = suite('Rotation');

/** Has `pieces` to do, then answers `rest_ms`. */
class Worker {
  private readonly name: string;
  private readonly log: string[];
  private readonly rest_ms: number;
  pieces: number;

  constructor(name: string, log: string[], pieces: number, rest_ms = -1) {
    this.name = name;
    this.log = log;
    this.pieces = pieces;
    this.rest_ms = rest_ms;
  }

  prefetch(): number {
    if (this.pieces === 0) return this.rest_ms;
    this.pieces--;
    this.log.push(this.name);
    return 0;
  }
}

test('gives each a piece in turn, and goes on with those that have more', () => {
  const log: string[] = [];
  const rotation = new Rotation();
  for (const [name, pieces] of Object.entries({ a: 1, b: 3, c: 2 }))
    rotation.add(new Worker(name, log, pieces));
  while (rotation.prefetch() === 0);
  assert.is([...log.slice(0, 3)].sort().join(''), 'abc');
  assert.is([...log.slice(3, 5)].sort().join(''), 'bc');
  assert.is(log[5], 'b');
  assert.is(log.length, 6);
});

test('rests for as long as nobody has anything to do', () => {
  const rotation = new Rotation();
  assert.is(rotation.prefetch(), -1);
  rotation.add(new Worker('a', [], 0));
  assert.is(rotation.prefetch(), -1);
  for (const rest_ms of [30, 7, 12]) rotation.add(new Worker('b', [], 0, rest_ms));
  assert.is(rotation.prefetch(), 7);
});

test('one that leaves in its own turn takes no turn from the others', () => {
  const log: string[] = [];
  const rotation = new Rotation();
  const leaver = {
    prefetch: () => {
      rotation.remove(leaver);
      return -1;
    },
  };
  for (const name of ['a', 'b']) rotation.add(new Worker(name, log, 1));
  rotation.add(leaver);
  rotation.add(new Worker('c', log, 1));
  while (rotation.prefetch() === 0);
  assert.equal(log.sort(), ['a', 'b', 'c']);
});

test.run();
