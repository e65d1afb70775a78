import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findTool } from '../../../guest-images/find-tool.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { lacksCompiler } from '../../support/c-program.ts';
import { testUnless } from '../../support.ts';
import { tsvmm } from '../command.ts';

const test = suite('tsvmm bench');
const QEMU = 'qemu-system-x86_64';

interface Summary {
  readonly count: number;
  readonly median: number;
}

testUnless(
  lacksKvm(),
  test,
  'bench boot: times and memory of every contestant, as one JSON document',
  async () => {
    const { code, stdout, stderr } = await tsvmm([
      'bench',
      'boot',
      '--rounds',
      '1',
      '--memory',
      '64MiB',
      '--format',
      'json',
    ]);
    assert.is(code, 0, stderr);
    const { bench, host, results, goals } = JSON.parse(stdout);
    assert.is(bench, 'bench boot');
    assert.ok(host.cpu_count > 0);
    const contestants = results.contestants as Record<string, Record<string, Summary>>;
    const expected = ['tsvmm run', 'second VM', 'second VM, new thread'];
    assert.equal(
      Object.keys(contestants),
      findTool(QEMU) === undefined ? expected : [...expected, 'QEMU microvm'],
    );
    for (const [name, metrics] of Object.entries(contestants)) {
      assert.ok((metrics.ready_ms?.median ?? 0) > 1, name);
      assert.ok(metrics.overhead_mib !== undefined, name);
    }
    const steps = Object.keys(contestants['tsvmm run'] ?? {}).filter(name => name.startsWith('step '));
    assert.ok(steps.length >= 5, steps.join());
    assert.ok(goals.length >= 1);
  },
);

testUnless(lacksKvm() ?? lacksCompiler(), test, 'bench exits: the same operations beside C', async () => {
  const { code, stdout, stderr } = await tsvmm(['bench', 'exits', '--rounds', '1', '--samples', '50']);
  assert.is(code, 0, stderr);
  for (const operation of [
    'pio_exit',
    'mmio_exit',
    'ioeventfd',
    'irqfd_round_trip',
    'kick_halted',
    'enter',
  ]) {
    assert.match(stdout, new RegExp(`^${operation} +[\\d.]+ +[\\d.]+ +[\\d.]+ +[\\d.]+ +[\\d.]+ ±`, 'm'));
  }
  assert.match(stdout, /^(reached|MISSED ) +pio_exit: at most 1.25/m);
});

test('bench: a number of rounds that is none is a usage error', async () => {
  for (const rounds of ['0', '-1', '1.5', 'many']) {
    const { code, stderr } = await tsvmm(['bench', 'boot', `--rounds=${rounds}`]);
    assert.is(code, 2, stderr);
  }
});

test.run();
