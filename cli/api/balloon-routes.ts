import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import type { BalloonEnd, BalloonStatus } from '../../vmm/devices/virtio/balloon/balloon-end.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import type { MachineState } from '../../vmm/machine.ts';
import type { RunningCluster } from '../cluster/cluster.ts';
import type { ClusterVm } from '../cluster/cluster-vm.ts';
import { formatSize } from '../config/units.ts';
import { type Route, route } from './route.ts';

const vmName = v.pipe(v.string(), v.maxLength(64));
/** A guest that does not answer in time is shown with the statistics it gave before. */
const STATISTICS_WAIT_MS = 500;
const STATISTICS_POLL_MS = 10;

/** What `tsvmm balloon` shows of a VM. */
export interface VmMemory extends BalloonStatus {
  readonly vm: string;
  readonly state: MachineState;
  readonly memory_bytes: number;
}

export const balloonRoutes = (cluster: RunningCluster): Route[] => [
  route({
    kind: 'call',
    method: 'GET',
    path: '/v1/balloon',
    input: v.strictObject({ vm: vmName }),
    handle: async input => {
      const vm = cluster.vm(input.vm);
      const balloon = balloonOf(vm);
      await refreshStatistics(balloon);
      return memoryOf(vm, balloon);
    },
  }),
  route({
    kind: 'call',
    method: 'POST',
    path: '/v1/balloon',
    input: v.strictObject({ vm: vmName, size_bytes: v.pipe(v.number(), v.safeInteger(), v.minValue(4096)) }),
    handle: ({ vm: name, size_bytes }) => {
      const vm = cluster.vm(name);
      const { memory_bytes } = vm.config;
      if (size_bytes > memory_bytes) {
        throw new TsvmmError('TSVMM_E_USAGE', `${name} has ${formatSize(memory_bytes)} of memory, not more`);
      }
      if (vm.exit !== undefined) throw new TsvmmError('TSVMM_E_CONFLICT', `${name} has ended`);
      const balloon = balloonOf(vm);
      balloon.setTarget(memory_bytes - size_bytes);
      return memoryOf(vm, balloon);
    },
  }),
];

function balloonOf(vm: ClusterVm): BalloonEnd {
  if (vm.balloon !== undefined) return vm.balloon;
  throw new TsvmmError('TSVMM_E_CONFLICT', `${vm.name} has no balloon`, {
    hint: 'say "balloon: true" for it in the cluster file',
  });
}

const memoryOf = (vm: ClusterVm, balloon: BalloonEnd): VmMemory => ({
  vm: vm.name,
  state: vm.state,
  memory_bytes: vm.config.memory_bytes,
  ...balloon.status,
});

async function refreshStatistics(balloon: BalloonEnd): Promise<void> {
  const before = balloon.statisticsCount;
  balloon.askStatistics();
  for (let waited = 0; waited < STATISTICS_WAIT_MS; waited += STATISTICS_POLL_MS) {
    if (balloon.statisticsCount !== before) return;
    await sleep(STATISTICS_POLL_MS);
  }
}
