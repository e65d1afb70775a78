import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { suggest } from '../../../cli/ui/suggest.ts';

const verbs = ['run', 'restore', 'ps', 'pause', 'stop', 'stats', 'validate'];

test('suggest: a slip of the fingers finds the word that was meant', () => {
  assert.is(suggest('rnu', verbs), 'run');
  assert.is(suggest('valdate', verbs), 'validate');
  assert.is(suggest('restroe', verbs), 'restore');
  assert.is(suggest('stpo', verbs), 'stop');
});

test('suggest: nothing for a word that is like none', () => {
  assert.is(suggest('frobnicate', verbs), undefined);
  assert.is(suggest('x', []), undefined);
});

test.run();
