import type { Scenario } from './scenario.ts';

/** Other dice may be needed to hit the same thing in a smaller scenario. */
const SEEDS_PER_TRY = 40;

/** A smaller scenario that still fails, found by leaving things out for as long as that works. */
export function shrink(scenario: Scenario, fails: (scenario: Scenario) => boolean): Scenario {
  for (let smallest = scenario; ; ) {
    const smaller = firstFailing(simplerThan(smallest), fails);
    if (smaller === undefined) return smallest;
    smallest = smaller;
  }
}

function firstFailing(
  candidates: Iterable<Scenario>,
  fails: (scenario: Scenario) => boolean,
): Scenario | undefined {
  for (const candidate of candidates) {
    for (let offset = 0; offset < SEEDS_PER_TRY; offset++) {
      const tried = { ...candidate, seed: candidate.seed + offset };
      if (fails(tried)) return tried;
    }
  }
  return undefined;
}

function* simplerThan(scenario: Scenario): Generator<Scenario> {
  for (const list of ['faults', 'joins', 'requests', 'secondNics', 'talks'] as const) {
    for (let index = 0; index < scenario[list].length; index++) {
      yield withoutStrays({ ...scenario, [list]: scenario[list].filter((_, other) => other !== index) });
    }
  }
  if (scenario.vmCount > 2) yield withoutStrays({ ...scenario, vmCount: scenario.vmCount - 1 });
  if (scenario.duration_us > 1_000) yield { ...scenario, duration_us: Math.ceil(scenario.duration_us / 2) };
  const simpler: Partial<Scenario> = {
    hasOutside: false,
    isFifo: true,
    gossipShare: 0,
    lossShare: 0,
    stallShare: 0,
    duplicateShare: 0,
    delay_us: 0,
    heldLimit: 1_000,
    backlogLimit: Number.POSITIVE_INFINITY,
    cutParallelism: Number.POSITIVE_INFINITY,
    commandDelay_us: 1,
  };
  for (const [key, value] of Object.entries(simpler)) {
    if (scenario[key as keyof Scenario] !== value) yield { ...scenario, [key]: value };
  }
}

/** What names a VM that is not there goes too; a conversation falls back to the network that both still have. */
function withoutStrays(scenario: Scenario): Scenario {
  const { vmCount } = scenario;
  const secondNics = scenario.secondNics.filter(vm => vm < vmCount);
  const hasSecond = (vm: number) => secondNics.includes(vm);
  return {
    ...scenario,
    secondNics,
    talks: scenario.talks
      .filter(({ b }) => b < vmCount)
      .map(talk => (hasSecond(talk.a) && hasSecond(talk.b) ? talk : { ...talk, network: 0 })),
    joins: scenario.joins.filter(({ vm }) => vm < vmCount),
    faults: scenario.faults.filter(fault => !('vm' in fault) || fault.vm < vmCount),
  };
}
