/** A pair and its clone beside it, from an incremental, compressed snapshot; and the chain afterwards. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { opsOf, TestCluster } from './support/test-cluster.ts';

const test = suite('clone');
const example = join(import.meta.dirname, '../../examples/pair.yaml');

const macsOf = async (cluster: TestCluster): Promise<string[]> =>
  (await cluster.status).vms.flatMap(({ nets }) => nets.map(({ mac }) => mac));

async function untilGoesOn(cluster: TestCluster): Promise<void> {
  const before = opsOf(await cluster.stats, 'client', 'tcp-client');
  await cluster.until(stats => opsOf(stats, 'client', 'tcp-client') > before + 20);
}

testUnless(
  lacksKvm(),
  test,
  'runs beside the original under other addresses; rm and flatten mind the chain',
  async () => {
    const home = await TestHome.create();
    try {
      const pair = await TestCluster.start(home, example);
      await untilGoesOn(pair);
      assert.is((await pair.snapshot({ name: 's1', incremental: true })).parent, null);
      const child = await pair.snapshot({ name: 's2', incremental: true, compress: 'zstd' });
      assert.is(child.parent, 'pair/s1');
      for (const vm of child.vms) assert.ok((vm.pages_inherited ?? 0) > vm.pages_total / 2, vm.name);

      const { code, stderr } = await home.run(
        'restore',
        '-d',
        'pair/s2',
        '--name',
        'clone',
        '--new-macs',
        '--advance-clock',
      );
      assert.is(code, 0, stderr);
      const clone = await TestCluster.attach(home, 'clone');
      await untilGoesOn(clone);
      await untilGoesOn(pair);
      const [ours, theirs] = [await macsOf(pair), await macsOf(clone)];
      assert.is(new Set([...ours, ...theirs]).size, 4, `${ours} ${theirs}`);
      assert.is((await clone.snapshot({ name: 'c1', incremental: true })).parent, 'pair/s2');
      await clone.stop();
      await pair.stop();

      const refused = await home.run('snap', 'rm', 'pair/s1');
      assert.is(refused.code, 5);
      assert.match(refused.stderr, /pair\/s2/);
      assert.is((await home.run('snap', 'flatten', 'pair/s2')).code, 0);
      assert.is((await home.run('snap', 'rm', 'pair/s1')).code, 0);
      assert.is((await home.run('snap', 'verify', 'clone/c1')).code, 0);
      assert.is((await home.run('snap', 'rm', 'pair/s2')).code, 5);
      assert.is((await home.run('snap', 'rm', 'pair/s2', 'clone/c1')).code, 0);
    } finally {
      await home.remove();
    }
  },
);

test.run();
