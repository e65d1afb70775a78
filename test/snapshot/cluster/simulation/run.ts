import type { ControlPlane, SimulatedSnapshot } from './control.ts';
import { Random } from './random.ts';
import type { Rules } from './rules.ts';
import type { Scenario } from './scenario.ts';
import { Violation } from './violation.ts';
import { World, type WorldOptions } from './world.ts';

export interface Outcome {
  /** What went wrong, if anything did. */
  readonly violation: string | undefined;
  readonly published: number;
  readonly restored: number;
  readonly counts: World['counts'] & ControlPlane['counts'];
  readonly trace: readonly string[];
}

/**
 * Runs a scenario, then restores snapshots that it published and lets each live on for a while, with other dice: a
 * consistent cut goes on as if nothing had happened, an inconsistent one contradicts itself before long.
 */
export function run(scenario: Scenario, rules: Rules, options: Omit<WorldOptions, 'from'> = {}): Outcome {
  const world = new World(scenario, rules, options);
  const outcome = { published: 0, restored: 0 };
  const trace = [world.trace];
  const violation = violationOf(() => {
    world.run();
    for (const snapshot of world.control.snapshots) {
      outcome.published++;
      const after = new World(continuation(scenario, snapshot), rules, { ...options, from: snapshot });
      trace.push([`restore of epoch ${snapshot.epoch}`], after.trace);
      outcome.restored++;
      after.run();
    }
  });
  const counts = { ...world.counts, ...world.control.counts };
  return { ...outcome, counts, violation, trace: trace.flat() };
}

/** A calm run of the restored cluster, in which it is mostly snapshotted once more. */
function continuation(scenario: Scenario, snapshot: SimulatedSnapshot): Scenario {
  const random = new Random(scenario.seed + snapshot.epoch);
  const [request] = scenario.requests;
  return {
    ...scenario,
    seed: scenario.seed + 1,
    duration_us: 2_000 + scenario.sendEvery_us,
    requests:
      random.chance(0.5) && request !== undefined ? [{ ...request, at_us: 500, timeout_us: 10_000_000 }] : [],
    faults: [],
    joins: [],
  };
}

function violationOf(body: () => void): string | undefined {
  try {
    body();
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error.message;
    throw error;
  }
}
