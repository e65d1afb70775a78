import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findTool } from '../../guest-images/find-tool.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { TsvmmCommand, tsvmmProgram } from './command.ts';
import { TestHome } from './home.ts';

const test = suite('tsvmm on a terminal');
const obstacle = lacksKvm() ?? (findTool('script') === undefined ? 'script is not installed' : undefined);
let home: TestHome;
test.before(async () => {
  if (obstacle === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());

const two = 'name: two\nvms: { a: { memory: 64MiB, args: [cpu] }, bee: { memory: 64MiB } }\n';

/** The command on a terminal of its own, which script(1) makes; what the test writes is typed there. */
class Terminal extends TsvmmCommand {
  constructor(...words: string[]) {
    const command = [...tsvmmProgram, ...words].join(' ');
    super(['script', '--quiet', '--return', '--command', command, '/dev/null'], {
      TSVMM_HOME: home.path,
      NO_COLOR: '',
      TERM: 'xterm',
    });
  }

  type(keys: string): void {
    this.child.stdin.write(keys);
  }
}

testUnless(obstacle, test, 'run: names are in colour and aligned; Ctrl-C stops it with 130', async () => {
  const terminal = new Terminal('run', home.write('two.yaml', two));
  await terminal.untilStdout(/␛\[36ma {3}\|␛\[0m \{"event":"ready"/);
  await terminal.untilStdout(/␛\[33mbee \|␛\[0m \{"event":"ready"/);
  terminal.type('\x03');
  assert.is((await terminal.ended).code, 130);
  assert.equal(home.runs, []);
});

testUnless(obstacle, test, 'console: shows the last screen, and Ctrl-] detaches', async () => {
  assert.is((await home.run('run', '-d', home.write('two.yaml', two))).code, 0);
  const terminal = new Terminal('console', 'two/a');
  await terminal.untilStdout(/attached to two\/a; Ctrl-] detaches/);
  await terminal.untilStdout(/"ready"/);
  terminal.type('\x1d');
  const { code, stdout } = await terminal.ended;
  assert.is(code, 0);
  assert.match(stdout, /detached from two\/a/);
  assert.is((await home.run('stop')).code, 0);
});

testUnless(obstacle, test, 'stats: draws its table anew in place until Ctrl-C', async () => {
  assert.is((await home.run('run', '-d', home.write('two.yaml', two))).code, 0);
  const terminal = new Terminal('stats');
  await terminal.untilStdout(/␛\[H␛\[J[\s\S]*WORKLOAD[\s\S]*␛\[H␛\[J/);
  terminal.type('\x03');
  assert.is((await terminal.ended).code, 130);
  assert.is((await home.run('stop')).code, 0);
});

test.run();
