import type { FilterModeName } from '../../../../snapshot/cluster/filter.ts';
import { Random } from './random.ts';

/** Everything about one simulated run but the dice, as plain data: it can be printed, edited and shrunk. */
export interface Scenario {
  readonly seed: number;
  readonly vmCount: number;
  /** VMs that have a second NIC, on network 1. */
  readonly secondNics: readonly number[];
  readonly talks: readonly { readonly a: number; readonly b: number; readonly network: number }[];
  /** VMs that come when others run already. */
  readonly joins: readonly { readonly at_us: number; readonly vm: number }[];
  readonly duration_us: number;
  readonly sendEvery_us: number;
  readonly gossipShare: number;
  readonly hasOutside: boolean;
  readonly delay_us: number;
  readonly isFifo: boolean;
  readonly lossShare: number;
  /** Share of frames after which the receiver has no buffers for a while, and for how long at most. */
  readonly stallShare: number;
  readonly stall_us: number;
  /** Frames that may be held for a port, and that may wait for its buffers before they are lost. */
  readonly heldLimit: number;
  readonly backlogLimit: number;
  readonly cutParallelism: number;
  readonly pause_us: number;
  readonly commandDelay_us: number;
  readonly duplicateShare: number;
  readonly mode: FilterModeName;
  readonly requests: readonly { readonly at_us: number; readonly timeout_us: number }[];
  readonly faults: readonly Fault[];
}

/** `attempt` counts the attempts of a run from 1. */
export type Fault =
  | {
      readonly kind: 'prepare-fails' | 'cut-fails' | 'cut-hangs' | 'save-fails';
      readonly vm: number;
      readonly attempt: number;
    }
  | { readonly kind: 'image-fails' | 'channel-fails' | 'publish-fails'; readonly attempt: number }
  | { readonly kind: 'vm-dies'; readonly vm: number; readonly at_us: number }
  | { readonly kind: 'abort-requested'; readonly request: number; readonly at_us: number }
  | { readonly kind: 'switch-dies' | 'process-dies'; readonly at_us: number };

/** True when the network neither loses nor reorders a frame, so that whatever a VM misses is our fault. */
export const isStrict = (scenario: Scenario) =>
  scenario.isFifo &&
  scenario.lossShare === 0 &&
  scenario.backlogLimit === Number.POSITIVE_INFINITY &&
  scenario.mode === 'hold';

export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed);
  const vmCount = random.chance(0.15) ? random.between(7, 16) : random.between(2, 6);
  const duration_us = random.between(4_000, 20_000);
  const isLossy = random.chance(0.3);
  const secondNics = indices(vmCount).filter(() => random.chance(0.25));
  return {
    seed,
    vmCount,
    secondNics,
    talks: drawTalks(random, vmCount, secondNics),
    joins: random.chance(0.2)
      ? [{ vm: vmCount - 1, at_us: random.between(1, duration_us - 1) }].filter(() => vmCount > 2)
      : [],
    duration_us,
    sendEvery_us: random.between(100, 300) * vmCount,
    gossipShare: random.chance(0.3) ? 0.2 : 0,
    hasOutside: random.chance(0.3),
    delay_us: random.pick([0, 20, 200, 2_000]),
    isFifo: random.chance(0.6),
    lossShare: isLossy ? random.pick([0.01, 0.2]) : 0,
    stallShare: random.pick([0, 0, 0.05]),
    stall_us: random.pick([1_000, 20_000]),
    heldLimit: random.pick([1, 2, 4, 1_000]),
    backlogLimit: isLossy ? random.pick([2, 8, 1_000]) : Number.POSITIVE_INFINITY,
    cutParallelism: random.pick([1, 2, Number.POSITIVE_INFINITY]),
    pause_us: random.pick([50, 500, 3_000]),
    commandDelay_us: random.pick([1, 50, 1_000]),
    duplicateShare: random.pick([0, 0.1, 0.5]),
    mode: random.chance(0.8) ? 'hold' : 'drop',
    requests: drawRequests(random, duration_us),
    faults: drawFaults(random, vmCount, duration_us),
  };
}

function drawTalks(random: Random, vmCount: number, secondNics: readonly number[]): Scenario['talks'] {
  const shape = random.pick(['ring', 'star', 'all', 'some'] as const);
  const talks: Scenario['talks'][number][] = [];
  for (let a = 0; a < vmCount; a++) {
    for (let b = a + 1; b < vmCount; b++) {
      const isLinked =
        shape === 'all' ||
        (shape === 'ring' && (b === a + 1 || (a === 0 && b === vmCount - 1))) ||
        (shape === 'star' && a === 0) ||
        (shape === 'some' && (b === a + 1 || random.chance(0.3)));
      const share = secondNics.includes(a) && secondNics.includes(b);
      if (isLinked) talks.push({ a, b, network: share && random.chance(0.5) ? 1 : 0 });
    }
  }
  return talks;
}

function drawRequests(random: Random, duration_us: number): Scenario['requests'] {
  return Array.from({ length: random.between(1, 4) }, () => ({
    at_us: random.between(0, duration_us),
    timeout_us: random.chance(0.1) ? random.between(500, 8_000) : 10_000_000,
  }));
}

function drawFaults(random: Random, vmCount: number, duration_us: number): Fault[] {
  if (random.chance(0.5)) return [];
  return Array.from({ length: random.between(1, 3) }, () => drawFault(random, vmCount, duration_us));
}

function drawFault(random: Random, vmCount: number, duration_us: number): Fault {
  const vm = random.between(0, vmCount - 1);
  const attempt = random.between(1, 2);
  const at_us = random.between(0, duration_us);
  const kind = random.pick([
    'prepare-fails',
    'cut-fails',
    'cut-hangs',
    'save-fails',
    'image-fails',
    'channel-fails',
    'publish-fails',
    'vm-dies',
    'abort-requested',
    'abort-requested',
    random.chance(0.5) ? 'switch-dies' : 'process-dies',
  ] as const);
  if (kind === 'vm-dies') return { kind, vm, at_us };
  if (kind === 'abort-requested') return { kind, request: random.between(0, 1), at_us };
  if (kind === 'switch-dies' || kind === 'process-dies') return { kind, at_us };
  if (kind === 'image-fails' || kind === 'channel-fails' || kind === 'publish-fails')
    return { kind, attempt };
  return { kind, vm, attempt };
}

const indices = (count: number) => Array.from({ length: count }, (_, index) => index);
