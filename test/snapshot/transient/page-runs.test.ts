import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PageRuns } from '../../../snapshot/transient/page-runs.ts';
import { Random } from '../../support/random.ts';

const test = suite('PageRuns');

function runsOf(pages: readonly number[], alignment: number, runs = new PageRuns(64)): number[][] {
  runs.clear();
  for (const page of pages) runs.add(page);
  const found: number[][] = [];
  runs.forEach(alignment, (first, pageCount) => void found.push([first, pageCount]));
  return found;
}

test('neighbours make one run, however they come', () => {
  assert.equal(runsOf([7, 5, 6, 5], 512), [[5, 3]]);
});

test('a small gap is filled, a large one is not', () => {
  assert.equal(runsOf([10, 20, 100], 512), [
    [10, 11],
    [100, 1],
  ]);
});

test('no run crosses a border between chunks', () => {
  assert.equal(runsOf([510, 511, 512, 513], 512), [
    [510, 2],
    [512, 2],
  ]);
  assert.equal(runsOf([0, 1, 2], 1), [
    [0, 1],
    [1, 1],
    [2, 1],
  ]);
});

test('every page is in exactly one run, and a cleared set is empty', () => {
  const random = new Random(3);
  const runs = new PageRuns(64);
  for (let round = 0; round < 200; round++) {
    const pages = Array.from({ length: random.below(64) }, () => random.below(2000));
    const found = runsOf(pages, 512, runs);
    for (const page of pages)
      assert.is(
        found.filter(([first = 0, count = 0]) => page >= first && page < first + count).length,
        1,
        `${page} of ${pages}`,
      );
    for (const [first = 0, count = 0] of found)
      assert.is(Math.floor(first / 512), Math.floor((first + count - 1) / 512));
  }
  assert.equal(runsOf([], 512, runs), []);
});

test.run();
