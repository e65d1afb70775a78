import type { SnapshotReport } from '../../snapshot/image/report.ts';
import { styledTable } from '../ui/table.ts';

const MIB = 2 ** 20;
export const mebibytes = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;
const milliseconds = (us: number): string => (us / 1000).toFixed(2);

function formOf({ compression, parent }: SnapshotReport): string {
  const packed = compression === 'none' ? '' : `, ${compression}`;
  return parent === null ? packed : `${packed}, builds on ${parent}`;
}

/** What `snap` and `snap inspect` show of one snapshot. */
export function reportTable(report: SnapshotReport): string {
  const { frames, vms } = report;
  const rows = vms.map(vm => [
    vm.name,
    milliseconds(vm.downtime_us),
    milliseconds(vm.kick_us),
    milliseconds(vm.state_us),
    milliseconds(vm.arm_us),
    String(vm.cow_faults),
    String(vm.vmm_write_saves),
    String(vm.fallbacks),
    mebibytes(vm.memory_bytes),
  ]);
  const headings = [
    'VM',
    'downtime ms',
    'kick',
    'state',
    'arm',
    'COW faults',
    'VMM writes',
    'fallbacks',
    'memory',
  ];
  return [
    `${report.snapshot}  epoch ${report.epoch}  ${report.method}, ${report.cow}, filter ${report.filter}${formOf(report)}`,
    `cut skew ${milliseconds(report.cut_skew_us)} ms, complete after ${report.complete_ms} ms, ${mebibytes(report.bytes_written)} written`,
    `frames in flight: ${frames.held} held, ${frames.dropped} dropped, ${frames.recorded} recorded`,
    '',
    styledTable(headings, rows, { align: ['left', ...headings.slice(1).map(() => 'right' as const)] }),
  ].join('\n');
}
