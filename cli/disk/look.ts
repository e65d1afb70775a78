import { checkDisk } from '../../snapshot/disk/tools/check.ts';
import { diskInfo } from '../../snapshot/disk/tools/info.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { type FormatOptions, narrate, print, printJson } from '../ui/output.ts';
import { styledTable } from '../ui/table.ts';
import { humanSize } from '../ui/units.ts';

/** `disk info`. */
export async function info(folder: string, { format }: FormatOptions): Promise<void> {
  const disk = await diskInfo(folder);
  if (format === 'json') return printJson(disk);
  const use = disk.in_use ? ', in use' : '';
  print(`${humanSize(disk.size_bytes)} in blocks of ${humanSize(disk.block_bytes)}${use}`);
  if (disk.base !== null) print(`base: ${disk.base.path} (${humanSize(disk.base.size_bytes)})`);
  const rows = disk.layers.map((layer, position) => [
    String(position),
    layer.file,
    layer.state,
    humanSize(layer.data_bytes),
    humanSize(layer.zero_bytes),
    humanSize(layer.allocated_bytes),
    String(layer.name_count),
  ]);
  const headings = ['LAYER', 'FILE', 'STATE', 'DATA', 'ZEROED', 'ON DISK', 'NAMES'];
  print(
    styledTable(headings, rows, { align: ['right', 'left', 'left', 'right', 'right', 'right', 'right'] }),
  );
}

/** `disk check`. Throws TSVMM_E_DISK_CORRUPT when it finds anything wrong. */
export async function check(
  folder: string,
  { format, data }: FormatOptions & { data?: boolean },
): Promise<void> {
  const report = await checkDisk(folder, { readData: data === true });
  if (format === 'json') printJson(report);
  else for (const line of [...report.problems, ...report.remarks]) print(line);
  if (report.problems.length > 0) {
    throw new TsvmmError('TSVMM_E_DISK_CORRUPT', `the disk in ${folder} is damaged`, {
      hint: 'take it from a snapshot or a backup',
    });
  }
  narrate(data === true ? `in order; ${humanSize(report.data_bytes)} read` : 'in order');
}
