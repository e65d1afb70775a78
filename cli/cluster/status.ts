import { type SerializedError, serializeError } from '../../vmm/errors.ts';
import type { MachineState } from '../../vmm/machine.ts';
import type { VcpuCounters } from '../../vmm/vcpu/control-block.ts';
import { formatInterface } from '../config/addresses.ts';
import type { RunRecord } from '../home/run-directory.ts';
import type { BenchReport } from './bench-report.ts';
import type { RunningCluster } from './cluster.ts';
import type { ClusterVm, VmExit } from './cluster-vm.ts';

/** 'ended': every guest has ended by itself, and nobody has stopped the cluster yet. */
export type ClusterState = 'starting' | 'running' | 'paused' | 'ended' | 'stopping' | 'stopped';

/** What `tsvmm ps` knows about a cluster. */
export interface ClusterStatus {
  readonly name: string;
  readonly state: ClusterState;
  readonly pid: number;
  readonly file: string;
  readonly started: string;
  readonly version: string;
  readonly vms: readonly VmStatus[];
  readonly networks: readonly { readonly name: string; readonly mtu: number; readonly tap?: string }[];
}

export interface VmStatus {
  readonly name: string;
  readonly state: MachineState;
  /** How the guest ended, if it has. */
  readonly exit?: { readonly reason: string; readonly error?: SerializedError };
  /** Until it had booted; null before. */
  readonly boot_ms: number | null;
  readonly vcpus: number;
  readonly memory_bytes: number;
  readonly guest: string;
  readonly nets: readonly { readonly network: string; readonly mac: string; readonly ip?: string }[];
}

/** Counters since the start, for `tsvmm stats`. */
export interface ClusterStats {
  readonly cluster: string;
  /** Milliseconds since 1970, with fractions. */
  readonly time_ms: number;
  /** Of the whole process: all VMs, their devices and the control thread. */
  readonly process: { readonly resident_bytes: number; readonly cpu_us: number };
  readonly vms: readonly VmStats[];
  readonly networks: Readonly<Record<string, unknown>>;
  readonly disks: Readonly<Record<string, unknown>>;
}

export interface VmStats {
  readonly name: string;
  readonly state: MachineState;
  readonly vcpus: readonly VcpuCounters[];
  /** Counters of the latest snapshot's copy-on-write: cow_faults, vmm_write_saves, ... */
  readonly cow: Readonly<Record<string, number>>;
  readonly consoleDroppedBytes: number;
  readonly lostLogLines: number;
  readonly reports: readonly BenchReport[];
}

export const clusterStatus = (cluster: RunningCluster, record: RunRecord): ClusterStatus => ({
  name: record.cluster,
  state: cluster.state,
  pid: record.pid,
  file: record.file,
  started: record.started,
  version: record.version,
  vms: [...cluster.vms.values()].map(statusOf),
  networks: cluster.config.networks.map(({ name, mtu, tap }) => ({
    name,
    mtu,
    ...(tap === undefined ? {} : { tap: tap.name }),
  })),
});

export function clusterStats(cluster: RunningCluster): ClusterStats {
  const { user, system } = process.cpuUsage();
  return {
    cluster: cluster.config.name,
    time_ms: performance.timeOrigin + performance.now(),
    process: { resident_bytes: process.memoryUsage.rss(), cpu_us: user + system },
    vms: [...cluster.vms.values()].map(statsOf),
    ...cluster.deviceStats,
  };
}

function statusOf(vm: ClusterVm): VmStatus {
  const { config, exit } = vm;
  return {
    name: config.name,
    state: vm.state,
    ...(exit === undefined ? {} : { exit: exitStatus(exit) }),
    boot_ms: vm.boot_ms ?? null,
    vcpus: config.vcpus,
    memory_bytes: config.memory_bytes,
    guest: config.guest.kind === 'image' ? config.guest.image : config.guest.kernel,
    nets: config.nets.map(({ network, mac, ip }) => ({
      network,
      mac,
      ...(ip === undefined ? {} : { ip: formatInterface(ip) }),
    })),
  };
}

const exitStatus = ({ reason, error }: VmExit) => ({
  reason,
  ...(error === undefined ? {} : { error: serializeError(error) }),
});

const statsOf = (vm: ClusterVm): VmStats => ({
  name: vm.name,
  state: vm.state,
  vcpus: vm.stats.vcpus,
  cow: vm.cow,
  consoleDroppedBytes: vm.stats.consoleDroppedBytes,
  lostLogLines: vm.console.log.lostLines,
  reports: [...vm.reports.values()],
});
