import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HotPages } from '../../../snapshot/transient/hot-pages.ts';

const test = suite('HotPages');
const nothing = { first: [], changed: [] };
const block = (first: number) => Array.from({ length: 8 }, (_, i) => first + i);

test('a page is hot when it was among the first writes twice, and its neighbours with it', () => {
  const hot = new HotPages();
  hot.learn({ first: [13, 700], changed: [] });
  assert.equal(hot.pages, []);
  hot.learn({ first: [900, 10], changed: [] });
  assert.equal(hot.pages, block(8));
});

test('twice within some snapshots', () => {
  const hot = new HotPages();
  hot.learn({ first: [13], changed: [] });
  for (let i = 0; i < 16; i++) hot.learn(nothing);
  hot.learn({ first: [13], changed: [] });
  assert.equal(hot.pages, []);
});

test('a hot page stays for as long as it changes; then it is soon forgotten, and soon learned again', () => {
  const hot = new HotPages();
  for (let i = 0; i < 2; i++) hot.learn({ first: [13, 100], changed: [] });
  for (let i = 0; i < 40; i++) hot.learn({ first: [], changed: [9] });
  assert.equal(hot.pages, block(8));
  for (let i = 0; i < 16; i++) hot.learn(nothing);
  assert.equal(hot.pages, []);
  hot.learn({ first: [13], changed: [] });
  assert.equal(hot.pages, block(8));
});

test('of a large memory few chunks become small pages', () => {
  const hot = new HotPages();
  const first = Array.from({ length: 100 }, (_, i) => (100 - i) * 512);
  for (let i = 0; i < 3; i++) hot.learn({ first, changed: [] });
  assert.is(new Set(hot.pages.map(page => Math.floor(page / 512))).size, 8);
});

test('a guest that writes all over gets no more than the maximum, in ascending order', () => {
  const hot = new HotPages();
  const first = Array.from({ length: 100 }, (_, i) => (100 - i) * 16);
  for (let i = 0; i < 5; i++) {
    hot.learn({ first, changed: [] });
    const { pages } = hot;
    assert.ok(pages.length <= HotPages.MAXIMUM);
    assert.equal(
      pages,
      [...pages].sort((a, b) => a - b),
    );
  }
  assert.is(hot.pages.length, HotPages.MAXIMUM);
});

test.run();
