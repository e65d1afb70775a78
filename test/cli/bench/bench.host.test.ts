import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findTool } from '../../../guest-images/find-tool.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { lacksCompiler } from '../../support/c-program.ts';
import { testUnless } from '../../support.ts';
import { tsvmm } from '../command.ts';
import { TestHome } from '../home.ts';

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

testUnless(
  lacksKvm(),
  test,
  'bench scale: time, memory and idle processor time of several guests',
  async () => {
    const words = ['bench', 'scale', '--rounds', '1', '--vms', '2', '--seconds', '1', '--format', 'json'];
    const { code, stdout, stderr } = await tsvmm(words);
    assert.is(code, 0, stderr);
    const { results, goals } = JSON.parse(stdout);
    const contestants = results.contestants as Record<string, Record<string, Summary>>;
    const expected = ['tsvmm, 2 VMs', 'tsvmm, 1 VM'];
    assert.equal(
      Object.keys(contestants),
      findTool(QEMU) === undefined ? expected : [...expected, 'QEMU, 2 processes'],
    );
    for (const [name, metrics] of Object.entries(contestants)) {
      for (const metric of ['ready_ms', 'overhead_mib', 'idle_cpu_percent', 'wakeups_per_s'])
        assert.ok((metrics[metric]?.median ?? 0) > 0, `${name}: ${metric}`);
    }
    const threads = (name: string) => contestants[name]?.thread_count?.median ?? 0;
    assert.ok(threads('tsvmm, 2 VMs') > threads('tsvmm, 1 VM'));
    assert.ok(results.further_vm_mib.median > 1);
    assert.is(goals.length, 2);
  },
);

testUnless(
  lacksKvm(),
  test,
  'bench snap --part sizes: pauses of every size, and lines through them',
  async () => {
    const words = ['--part', 'sizes', '--memory', '128MiB', '--rounds', '2', '--format', 'json'];
    const { code, stdout, stderr } = await tsvmm(['bench', 'snap', ...words]);
    assert.is(code, 0, stderr);
    const { results } = JSON.parse(stdout);
    const sizes = results.sizes as { memory_bytes: number; samples: Record<string, number>[] }[];
    assert.equal(
      sizes.map(({ memory_bytes, samples }) => [memory_bytes / 2 ** 20, samples.length]),
      [
        [64, 3],
        [128, 3],
      ],
    );
    for (const { samples } of sizes)
      for (const { downtime_us = 0, arm_us = 0 } of samples) assert.ok(downtime_us > arm_us && arm_us > 0);
    assert.type(results.fits.downtime.slope, 'number');
  },
);

test('bench: a number of rounds that is none is a usage error', async () => {
  for (const rounds of ['0', '-1', '1.5', 'many']) {
    const { code, stderr } = await tsvmm(['bench', 'boot', `--rounds=${rounds}`]);
    assert.is(code, 2, stderr);
  }
});

testUnless(
  lacksKvm(),
  test,
  'bench cluster: each method takes snapshots of a ring of VMs, and TCP goes on',
  async () => {
    const words = ['bench', 'cluster', '--rounds', '1', '--vms', '2', '--format', 'json'];
    const home = await TestHome.create();
    try {
      const { code, stdout, stderr } = await home.run(...words);
      assert.is(code, 0, stderr);
      const { results, goals } = JSON.parse(stdout);
      const methods = results['2'] as Record<string, Record<string, Summary>>;
      assert.equal(Object.keys(methods), ['hotsnap, hold', 'hotsnap, drop', 'stop-copy', 'pre-copy']);
      for (const [name, metrics] of Object.entries(methods)) {
        for (const metric of ['backoff_us', 'normal_us', 'downtime_us', 'complete_ms'])
          assert.ok((metrics[metric]?.median ?? 0) > 0, `${name}: ${metric}`);
      }
      assert.is(goals.length, 1);
    } finally {
      await home.remove();
    }
  },
);

test.run();
