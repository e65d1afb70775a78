import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { verbs } from '../../cli/verbs.ts';
import { tsvmm } from './command.ts';

test('tsvmm --version prints the version alone', async () => {
  const { code, stdout, stderr } = await tsvmm(['--version']);
  assert.is(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  assert.is(stderr, '');
});

test('tsvmm --help lists every verb on stdout; without a verb it goes to stderr and is a usage error', async () => {
  const [help, bare] = await Promise.all([tsvmm(['--help']), tsvmm([])]);
  assert.is(help.code, 0);
  for (const [name, { summary }] of Object.entries(verbs))
    assert.match(help.stdout, new RegExp(`^  ${name} +${summary.slice(0, 10)}`, 'm'));
  assert.is(bare.code, 2);
  assert.is(bare.stdout, '');
  assert.is(bare.stderr, help.stdout);
});

test('tsvmm VERB --help shows usage and examples', async () => {
  const { code, stdout } = await tsvmm(['validate', '--help']);
  assert.is(code, 0);
  assert.match(stdout, /Usage: tsvmm validate \[options\] <file>/);
  assert.match(stdout, /Examples:\n {2}tsvmm validate/);
});

test('tsvmm: a mistyped verb, option or argument is a usage error with a hint', async () => {
  const cases: [string[], RegExp][] = [
    [
      ['valdate'],
      /^error: there is no verb "valdate" \[TSVMM_E_USAGE\]\nhint: did you mean "tsvmm validate"\?\n$/,
    ],
    [['--frob'], /^error: there is no option "--frob" \[TSVMM_E_USAGE\]\nhint: tsvmm --help/],
    [
      ['validate'],
      /^error: missing required argument 'file' \[TSVMM_E_USAGE\]\nhint: see tsvmm validate --help\n$/,
    ],
    [
      ['validate', '--formt', 'json', 'x'],
      /unknown option '--formt' \[TSVMM_E_USAGE\]\nhint: did you mean --format\?/,
    ],
    [['validate', '--format', 'xml', 'x'], /argument 'xml' is invalid.*\[TSVMM_E_USAGE\]/],
    [
      ['image', 'build', 'debian', '--packages', Array(5).fill('p'.repeat(60)).join()],
      /more than 240 characters.*\[TSVMM_E_USAGE\]/,
    ],
    [['toString'], /there is no verb "toString"/],
  ];
  await Promise.all(
    cases.map(async ([words, pattern]) => {
      const { code, stdout, stderr } = await tsvmm(words);
      assert.is(code, 2, words.join(' '));
      assert.is(stdout, '');
      assert.match(stderr, pattern);
    }),
  );
});

test('tsvmm validate prints JSON, reads stdin, and exits with 2 for a bad file', async () => {
  const [json, bad] = await Promise.all([
    tsvmm(['validate', '--format', 'json', '-'], {}, 'name: one\nvms: { a: }'),
    tsvmm(['validate', '-'], {}, 'vms: { a: { x: } }'),
  ]);
  assert.is(json.code, 0);
  assert.is(JSON.parse(json.stdout).vms.a.memory, '256MiB');
  assert.is(bad.code, 2);
  assert.match(bad.stderr, /^error: stdin:1:13: unknown key "x"/);
});

test.run();
