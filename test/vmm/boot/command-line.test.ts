import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { splitCommandLine } from '../../../vmm/boot/command-line.ts';

test("splitCommandLine(): init's words begin at a lone --", () => {
  for (const [cmdline, kernel, init] of [
    ['', '', ''],
    ['console=ttyS0 quiet', 'console=ttyS0 quiet', ''],
    ['a=1 -- -c "two words" -- b', 'a=1', '-- -c "two words" -- b'],
    ['--', '', '--'],
    ['a  --', 'a', '--'],
    ['a --b c-- --- "-- d" e="f -- g', 'a --b c-- --- "-- d" e="f -- g', ''],
  ] as const) {
    assert.equal(splitCommandLine(cmdline), { kernel, init }, cmdline);
  }
});

test.run();
