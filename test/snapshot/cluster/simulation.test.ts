/**
 * The epoch protocol under a simulated cluster: the real coordinator, filter and held queue; models of VMs, switch and
 * messages; every delay and every fault drawn from a seed.
 *
 *   npx tsx test/snapshot/cluster/simulation.test.ts             10 000 seeds
 *   SEEDS=1000000 npx tsx ...                                    more of them
 *   SEED=123 npx tsx ...                                         one, with its trace; shrunk if it fails
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { soundRules } from './simulation/rules.ts';
import { run } from './simulation/run.ts';
import { type Scenario, scenarioOf } from './simulation/scenario.ts';
import { shrink } from './simulation/shrink.ts';

const test = suite('epoch protocol');
const seeds = Number(process.env.SEEDS ?? 10_000);

function explain(scenario: Scenario): string {
  const { violation, trace } = run(scenario, soundRules, { isTracing: true });
  return [JSON.stringify(scenario), ...trace, violation ?? 'no violation'].join('\n');
}

if (process.env.SEED === undefined) {
  test(`keeps its promises in ${seeds} simulated clusters`, () => {
    const total = new Map<string, number>();
    for (let seed = 1; seed <= seeds; seed++) {
      const { violation, published, counts } = run(scenarioOf(seed), soundRules);
      assert.is(violation, undefined, `SEED=${seed} npx tsx test/snapshot/cluster/simulation.test.ts`);
      for (const [name, count] of Object.entries({ ...counts, published })) {
        total.set(name, (total.get(name) ?? 0) + count);
      }
    }
    console.log([...total].map(([name, count]) => `${count} ${name}`).join(', '));
    // The seeds are worth nothing if they pass by what they are to test.
    for (const [name, count] of total) assert.ok(count >= seeds / 1000, `too few: ${name}`);
  });
} else {
  test(`keeps its promises with seed ${process.env.SEED}`, () => {
    const scenario = scenarioOf(Number(process.env.SEED));
    const fails = (candidate: Scenario) => run(candidate, soundRules).violation !== undefined;
    console.log(explain(fails(scenario) ? shrink(scenario, fails) : scenario));
    assert.is(run(scenario, soundRules).violation, undefined);
  });
}

test('gives the same run for the same seed', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const [first, second] = [1, 2].map(() => run(scenarioOf(seed), soundRules, { isTracing: true }));
    assert.equal(first, second);
  }
});

test('is shrunk to a small scenario when it fails', () => {
  const broken = { ...soundRules, deliversHeldFirst: false };
  const fails = (scenario: Scenario) => run(scenario, broken).violation !== undefined;
  let seed = 1;
  while (!fails(scenarioOf(seed))) seed++;
  const small = shrink(scenarioOf(seed), fails);
  assert.ok(fails(small));
  assert.ok(small.vmCount <= 3 && small.requests.length === 1, JSON.stringify(small));
});

test.run();
