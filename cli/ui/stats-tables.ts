import type { BenchReport } from '../cluster/bench-report.ts';
import type { ClusterStats, VmStats } from '../cluster/status.ts';
import { type Align, styledTable } from './table.ts';
import { humanSize } from './units.ts';

type Counters = Readonly<Record<string, unknown>>;

/** What happened between two samples, per second. */
export function statsTables(before: ClusterStats, after: ClusterStats): string {
  const seconds = (after.time_ms - before.time_ms) / 1000;
  const cpu = (after.process.cpu_us - before.process.cpu_us) / 1e6 / seconds;
  const head = `${after.cluster}: CPU ${(cpu * 100).toFixed(0)} %, resident ${humanSize(after.process.resident_bytes)}`;
  const tables = [
    vmTable(before, after, seconds),
    workloadTable(before, after),
    deviceTable('NETWORK', before.networks, after.networks, seconds),
    deviceTable('DISK', before.disks, after.disks, seconds),
  ];
  return [head, ...tables.filter(text => text !== '')].join('\n\n');
}

function vmTable(before: ClusterStats, after: ClusterStats, seconds: number): string {
  const rows = after.vms.map((vm, index) => {
    const old = before.vms[index];
    const perSecond = (count: (vm: VmStats) => number) => rate(old && count(old), count(vm), seconds);
    return [
      vm.name,
      vm.state,
      String(vm.vcpus.length),
      perSecond(sum('pioExits')),
      perSecond(sum('mmioExits')),
      perSecond(sum('interruptions')),
      String(vm.consoleDroppedBytes),
    ];
  });
  const headings = ['VM', 'STATE', 'VCPUS', 'PIO/S', 'MMIO/S', 'KICKS/S', 'CONSOLE LOST'];
  return styledTable(headings, rows, { align: rightFrom(2, headings.length) });
}

const sum =
  (counter: keyof VmStats['vcpus'][number]) =>
  ({ vcpus }: VmStats): number =>
    vcpus.reduce((total, vcpu) => total + vcpu[counter], 0);

/** What the bench guests say of themselves. */
function workloadTable(before: ClusterStats, after: ClusterStats): string {
  const rows = after.vms.flatMap((vm, index) =>
    vm.reports.map(report => {
      const old = before.vms[index]?.reports.find(({ workload }) => workload === report.workload);
      const numberOf = (key: string) => (typeof report[key] === 'number' ? String(report[key]) : '-');
      return [
        vm.name,
        String(report.workload),
        old === undefined ? '-' : opsRate(old, report),
        numberOf('errors'),
        numberOf('retransmits'),
        numberOf('gap_us_max'),
      ];
    }),
  );
  if (rows.length === 0) return '';
  const headings = ['VM', 'WORKLOAD', 'OPS/S', 'ERRORS', 'RETRANSMITS', 'LONGEST GAP US'];
  return styledTable(headings, rows, { align: rightFrom(2, headings.length) });
}

/** Over the guest's own time, as its reports do not come when we ask. */
function opsRate(old: BenchReport, now: BenchReport): string {
  const seconds = (Number(now.t_ms) - Number(old.t_ms)) / 1000;
  return seconds > 0 ? rate(Number(old.ops), Number(now.ops), seconds) : '-';
}

/** One row per network or disk, one column per counter. */
function deviceTable(
  heading: string,
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
  seconds: number,
): string {
  const entries = Object.entries(after) as [string, Counters][];
  const [first] = entries;
  if (first === undefined) return '';
  const keys = Object.keys(first[1]).filter(key => typeof first[1][key] === 'number');
  const rows = entries.map(([name, counters]) => {
    const old = (before[name] ?? {}) as Counters;
    return [name, ...keys.map(key => rate(old[key] as number | undefined, Number(counters[key]), seconds))];
  });
  const headings = [heading, ...keys.map(key => `${key.toUpperCase()}/S`)];
  return styledTable(headings, rows, { align: rightFrom(1, headings.length) });
}

function rate(before: number | undefined, after: number, seconds: number): string {
  if (before === undefined || !Number.isFinite(after - before)) return '-';
  const value = (after - before) / seconds;
  return value >= 100 || value === 0 ? value.toFixed(0) : value.toPrecision(2);
}

const rightFrom = (first: number, count: number): Align[] =>
  Array.from({ length: count }, (_, column) => (column < first ? 'left' : 'right'));
