import { statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { timelineSchema } from '../../snapshot/cluster/timeline-schema.ts';
import { renderTimeline } from '../../snapshot/cluster/timeline-svg.ts';
import { readChain } from '../../snapshot/image/chain.ts';
import { listSnapshots, removePartial } from '../../snapshot/image/list.ts';
import { type Manifest, parseWith } from '../../snapshot/image/manifest.ts';
import { SnapshotReader } from '../../snapshot/image/reader.ts';
import type { SnapshotReport } from '../../snapshot/image/report.ts';
import { snapshotsDirectory } from '../home/layout.ts';
import { type FormatOptions, print, printJson } from '../ui/output.ts';
import { styledTable } from '../ui/table.ts';
import { clustersWithSnapshots, resolveSnapshot } from './resolve.ts';
import { mebibytes, reportTable } from './tables.ts';

/** `snap ls`. Half-written snapshots of processes that are gone are removed on the way. */
export async function listAll(cluster: string | undefined, { format }: FormatOptions): Promise<void> {
  const clusters = cluster === undefined ? clustersWithSnapshots() : [cluster];
  const found = clusters.flatMap(name => {
    const folder = join(snapshotsDirectory(), name);
    removePartial(folder, isAlive);
    return listSnapshots(folder).map(snapshot => ({ ...snapshot, cluster: name }));
  });
  const rows = found.map(({ name, cluster: owner, folder, ...rest }) => {
    if ('error' in rest) return { snapshot: `${owner}/${name}`, path: folder, error: rest.error.message };
    const { manifest } = rest;
    return {
      snapshot: `${owner}/${name}`,
      path: folder,
      created_at: manifest.created_at,
      epoch: manifest.epoch,
      vms: manifest.vms.length,
      memory_bytes: manifest.vms.reduce((sum, vm) => sum + vm.memory_bytes, 0),
      stored_bytes: storedBytes(folder, manifest),
      parent: parentOf(manifest),
    };
  });
  if (format === 'json') return printJson(rows);
  const cells = rows.map(row =>
    'error' in row
      ? [row.snapshot, '', '', '', `damaged: ${row.error}`]
      : [
          row.snapshot,
          row.created_at,
          String(row.epoch),
          String(row.vms),
          mebibytes(row.memory_bytes),
          mebibytes(row.stored_bytes),
          row.parent ?? '',
        ],
  );
  print(styledTable(['SNAPSHOT', 'CREATED', 'EPOCH', 'VMS', 'MEMORY', 'STORED', 'BUILDS ON'], cells));
}

export async function inspect(
  name: string,
  { format, svg }: FormatOptions & { svg?: string },
): Promise<void> {
  const reader = new SnapshotReader(resolveSnapshot(name));
  if (svg !== undefined) {
    const picture = renderTimeline(
      parseWith(timelineSchema, reader.json(reader.manifest.timeline), 'timeline.json'),
    );
    if (svg === '-') process.stdout.write(picture);
    else writeFileSync(svg, picture);
    return;
  }
  if (format === 'json') return printJson(reader.manifest);
  print(reportTable(reader.manifest.report as SnapshotReport));
  print('');
  for (const vm of reader.manifest.vms) {
    const packed = vm.memory.compression === 'none' ? '' : `, compressed by ${vm.memory.compression}`;
    const disks = vm.disks.length === 0 ? '' : `, disks: ${vm.disks.map(disk => disk.name).join(', ')}`;
    print(`${vm.name}: ${vm.vcpus} vCPU, ${mebibytes(vm.memory_bytes)} of memory${packed}${disks}`);
  }
  const chain = readChain(reader).slice(1);
  if (chain.length > 0) {
    const names = chain.map(({ manifest: { cluster, name } }) => `${cluster}/${name}`);
    print(`builds on ${names.join(', ')}`);
  }
  print(`taken ${reader.manifest.created_at}, in ${reader.folder} (${basename(reader.folder)})`);
}

const parentOf = ({ parent }: Manifest): string | null =>
  parent === null ? null : `${parent.cluster}/${parent.name}`;

/** What the memory takes on the disk. */
function storedBytes(folder: string, { vms }: Manifest): number {
  const blocks = (path: string) => statSync(join(folder, path), { throwIfNoEntry: false })?.blocks ?? 0;
  return vms.reduce((sum, { memory }) => sum + blocks(memory.path) * 512, 0);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
