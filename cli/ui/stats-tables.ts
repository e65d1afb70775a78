import type { BenchReport } from '../cluster/bench-report.ts';
import type { ClusterStats, VmStats } from '../cluster/status.ts';
import { type Align, styledTable } from './table.ts';
import { humanSize } from './units.ts';

type Counters = Readonly<Record<string, unknown>>;

/** What stops a writer after a snapshot's cut. */
const cowCounters = [
  'cow_faults',
  'cow_faults_partial',
  'vmm_write_saves',
  'vmm_write_saves_partial',
] as const;

/** What happened between two samples, per second. */
export function statsTables(before: ClusterStats, after: ClusterStats): string {
  const seconds = (after.time_ms - before.time_ms) / 1000;
  const cpu = (after.process.cpu_us - before.process.cpu_us) / 1e6 / seconds;
  const head = `${after.cluster}: CPU ${(cpu * 100).toFixed(0)} %, resident ${humanSize(after.process.resident_bytes)}`;
  const tables = [
    vmTable(before, after, seconds),
    workloadTable(before, after),
    deviceTable('PORT', portColumns, portsOf(before), portsOf(after), seconds),
    deviceTable('DISK', diskColumns, disksOf(before), disksOf(after), seconds),
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
      perSecond(({ cow }) => cowCounters.reduce((all, counter) => all + (cow[counter] ?? 0), 0)),
      String(vm.consoleDroppedBytes),
    ];
  });
  const headings = ['VM', 'STATE', 'VCPUS', 'PIO/S', 'MMIO/S', 'KICKS/S', 'COW/S', 'CONSOLE LOST'];
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

/** A column: its heading, the counters that it adds up, and whether these are bytes. */
type Column = readonly [heading: string, counters: readonly string[], unit?: 'bytes'];

const portColumns: readonly Column[] = [
  ['TX FRAMES/S', ['sent_frames']],
  ['TX/S', ['sent_bytes'], 'bytes'],
  ['RX FRAMES/S', ['received_frames']],
  ['RX/S', ['received_bytes'], 'bytes'],
  ['HELD/S', ['held_frames']],
  ['LOST/S', ['impaired_frames', 'overflow_frames', 'delay_overflow_frames', 'marker_dropped_frames']],
  ['REFUSED/S', ['malformed_frames', 'oversize_frames', 'refused_frames']],
];

const diskColumns: readonly Column[] = [
  ['READS/S', ['read_count']],
  ['READ/S', ['read_bytes'], 'bytes'],
  ['WRITES/S', ['write_count']],
  ['WRITTEN/S', ['write_bytes'], 'bytes'],
  ['FLUSHES/S', ['flush_count']],
  ['ERRORS/S', ['error_count']],
];

/** One row per port or disk. */
function deviceTable(
  heading: string,
  columns: readonly Column[],
  before: ReadonlyMap<string, Counters>,
  after: ReadonlyMap<string, Counters>,
  seconds: number,
): string {
  if (after.size === 0) return '';
  const rows = [...after].map(([name, counters]) => {
    const old = before.get(name);
    const cells = columns.map(([, keys, unit]) => {
      const total = (from: Counters) => keys.reduce((sum, key) => sum + Number(from[key] ?? 0), 0);
      return rate(old && total(old), total(counters), seconds, unit);
    });
    return [name, ...cells];
  });
  const headings = [heading, ...columns.map(([name]) => name)];
  return styledTable(headings, rows, { align: rightFrom(1, headings.length) });
}

/** The ports of all networks, as "network vm/nic". */
const portsOf = ({ networks }: ClusterStats): Map<string, Counters> =>
  new Map(
    Object.entries(networks).flatMap(([network, ports]) =>
      Object.entries(ports as Readonly<Record<string, Counters>>).map(
        ([port, counters]): [string, Counters] => [`${network} ${port}`, counters],
      ),
    ),
  );

const disksOf = ({ disks }: ClusterStats) => new Map(Object.entries(disks) as [string, Counters][]);

function rate(before: number | undefined, after: number, seconds: number, unit?: 'bytes'): string {
  if (before === undefined || !Number.isFinite(after - before)) return '-';
  // Some counters begin anew with each snapshot.
  const value = (after >= before ? after - before : after) / seconds;
  if (unit === 'bytes') return humanSize(value);
  return value >= 100 || value === 0 ? value.toFixed(0) : value.toPrecision(2);
}

const rightFrom = (first: number, count: number): Align[] =>
  Array.from({ length: count }, (_, column) => (column < first ? 'left' : 'right'));
