import type { CowMechanismName } from '../../../snapshot/cow/mechanism.ts';
import type { VmSnapshotOptions } from '../../../snapshot/vm-snapshotter.ts';
import type { MachineConfig } from '../../../vmm/machine.ts';
import { HUGE_PAGE_SIZE, KIB, MIB, PAGE_SIZE } from '../../../vmm/memory/address.ts';

/** One guest of the oracle: how it writes memory. */
export interface OracleCase {
  readonly style: 'mov' | 'stos' | 'atomic' | 'push' | 'kernel' | 'mixed';
  readonly pattern: 'seq' | 'random';
  readonly vcpus: 1 | 2;
  readonly hugePages: boolean;
}

const styles = ['mixed', 'mov', 'stos', 'atomic', 'push', 'kernel'] as const;

/** Every style with every pattern; one and two vCPUs, with and without huge pages, in turns. */
export const allCases = (): OracleCase[] =>
  styles.flatMap((style, i) => [
    { style, pattern: 'seq', vcpus: i % 2 === 0 ? 2 : 1, hugePages: i % 3 !== 1 },
    { style, pattern: 'random', vcpus: i % 2 === 0 ? 1 : 2, hugePages: i % 3 !== 0 },
  ]);

const mechanisms: readonly CowMechanismName[] = ['mprotect', 'userfaultfd'];
const chunkSizes = [HUGE_PAGE_SIZE, 64 * KIB, PAGE_SIZE];

/** What one snapshot may be taken with. */
export const snapshotChoices: readonly VmSnapshotOptions[] = mechanisms.flatMap(cow =>
  chunkSizes.map(chunkSize => ({ cow, chunkSize })),
);

export const caseName = ({ style, pattern, vcpus, hugePages }: OracleCase): string =>
  `${style} ${pattern}, ${vcpus} vCPU, ${hugePages ? 'huge' : 'small'} pages`;

export const configOf = ({ style, pattern, vcpus, hugePages }: OracleCase): Partial<MachineConfig> => ({
  // The timer's ticks add interrupts, whose stack pushes write memory at any time.
  cmdline: `dirty size=24M style=${style} pattern=${pattern} vcpus=${vcpus} stat=100 tick=200`,
  memory_bytes: 40 * MIB,
  vcpus,
  hugePages,
});
