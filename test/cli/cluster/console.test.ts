import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseBenchReport } from '../../../cli/cluster/bench-report.ts';
import { ConsoleLog } from '../../../cli/cluster/console-log.ts';
import { LineAssembler } from '../../../cli/cluster/line-assembler.ts';
import { readLogs } from '../../../cli/cluster/log-reader.ts';
import { ReplayBuffer } from '../../../cli/cluster/replay-buffer.ts';
import { terminalText } from '../../../cli/ui/terminal-text.ts';

test('LineAssembler: pieces become lines, carriage returns at their ends go', () => {
  const lines: string[] = [];
  const assembler = new LineAssembler(line => lines.push(line));
  const bytes = Buffer.from('a\r\nbä\n\nc');
  for (const byte of bytes) assembler.push(Uint8Array.of(byte));
  assert.equal(lines, ['a', 'bä', '']);
  assembler.flush();
  assembler.flush();
  assert.equal(lines, ['a', 'bä', '', 'c']);
});

test('LineAssembler: a line without end is cut, and bytes that are no text do no harm', () => {
  const lines: string[] = [];
  const assembler = new LineAssembler(line => lines.push(line));
  assembler.push(Buffer.alloc(20_000, 'x'));
  assembler.push(Buffer.from([0xff, 0xfe, 0x0a]));
  assert.equal(
    lines.map(line => line.length),
    [8192, 8192, 20_000 - 2 * 8192 + 2],
  );
});

test('LineAssembler: a prompt is passed on after a while', async () => {
  const line = await new Promise<string>(resolve => {
    const keepAlive = setTimeout(() => resolve('nothing'), 20_000);
    new LineAssembler(text => {
      clearTimeout(keepAlive);
      resolve(text);
    }).push(Buffer.from('login: '));
  });
  assert.is(line, 'login: ');
});

test('ReplayBuffer: the last lines, or what followed the clearing of the screen', () => {
  const replay = new ReplayBuffer();
  assert.is(replay.lastScreen().length, 0);
  for (let i = 0; i < 100; i++) replay.push(Buffer.from(`line ${i}\n`));
  replay.push(Buffer.from('$ '));
  const shown = replay.lastScreen().toString();
  assert.match(shown, /^line 7\d\n/);
  assert.match(shown, /line 99\n\$ $/);
  replay.push(Buffer.from('old\x1b[2Jnew screen'));
  assert.is(replay.lastScreen().toString(), '\x1b[2Jnew screen');
});

test('ReplayBuffer: more than fits keeps the end', () => {
  const replay = new ReplayBuffer();
  replay.push(Buffer.alloc(100_000, 'a'));
  replay.push(Buffer.alloc(70_000, 'b'));
  replay.push(Buffer.from('end'));
  const shown = replay.lastScreen();
  assert.is(shown.length, 65_536);
  assert.is(shown.subarray(-4).toString(), 'bend');
});

test('ConsoleLog: stays below twice its bound, and readLogs reads it in order', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'tsvmm-log-'));
  const path = join(directory, 'a.log');
  const log = new ConsoleLog(path);
  const text = 'x'.repeat(1000);
  for (let i = 0; i < 10_000; i++) log.append(`${i} ${text}`);
  log.close();
  assert.ok(statSync(path).size <= 4 * 2 ** 20);
  assert.ok(statSync(`${path}.1`).size <= 4 * 2 ** 20);
  const lines = await readLogs(new Map([['a', path]]));
  const numbers = lines.map(({ line }) => Number.parseInt(line, 10));
  assert.is(numbers.at(-1), 9999);
  assert.equal(
    numbers,
    numbers.map((_, index) => (numbers[0] as number) + index),
  );
  assert.is((await readLogs(new Map([['a', path]]), 3)).length, 3);
  rmSync(directory, { recursive: true });
});

test('readLogs: lines of several VMs are put in the order of their times', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'tsvmm-log-'));
  const paths = new Map(['a', 'b'].map(name => [name, join(directory, name)]));
  const logs = [...paths.values()].map(path => new ConsoleLog(path));
  for (let i = 0; i < 6; i++) {
    logs[i % 2]?.append(`${i}`);
    await new Promise(resolve => setTimeout(resolve, 3));
  }
  const lines = await readLogs(paths);
  assert.equal(
    lines.map(({ vm, line }) => vm + line),
    ['a0', 'b1', 'a2', 'b3', 'a4', 'b5'],
  );
  rmSync(directory, { recursive: true });
});

test('readLogs: a VM that has not said anything has no lines', async () => {
  assert.equal(await readLogs(new Map([['a', '/nowhere/a.log']])), []);
});

test('parseBenchReport: only objects with an event', () => {
  assert.equal(parseBenchReport('{"event":"stat","ops":1}'), { event: 'stat', ops: 1 });
  for (const line of ['', 'x', '{', '{"a":1}', '[]', '{"event":5}', `{"event":"${'x'.repeat(5000)}"}`])
    assert.is(parseBenchReport(line), undefined, line.slice(0, 20));
});

test('terminalText: colours stay, everything else that steers a terminal goes', () => {
  assert.is(terminalText('plain\ttext ä'), 'plain\ttext ä');
  assert.is(terminalText('\x1b[31mred\x1b[0m'), '\x1b[31mred\x1b[0m\x1b[0m');
  assert.is(
    terminalText('a\x1b[2J\x1b[1;1Hb\x1b]0;title\x07c\x1bcd\x1bP+q\x1b\\e\x07\x00\x9bf\rg'),
    'abcdefg',
  );
  assert.is(terminalText('cut\x1b['), 'cut');
  assert.is(terminalText('\x1b]52;c;secret'), '');
});

test.run();
