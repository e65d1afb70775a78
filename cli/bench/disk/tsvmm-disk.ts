import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ControlClient } from '../../api/client.ts';
import { TsvmmRun } from '../guests/tsvmm-run.ts';
import type { BenchFolder } from './bench-folder.ts';
import { type DiskStarter, VM } from './disk-guests.ts';

/** `tsvmm run` of a guest whose disk begins with the raw image; its snapshots are those of `tsvmm snap`. */
export const tsvmmDisk =
  (folder: BenchFolder, cluster: string): DiskStarter =>
  words => {
    const args = words.split(' ').join(', ');
    const run = new TsvmmRun(
      [
        `name: ${cluster}`,
        'vms:',
        `  ${VM}: { image: bench, memory: 64MiB, args: [${args}], disks: [{ base: ${folder.raw} }] }`,
      ].join('\n'),
      { TSVMM_HOME: folder.path },
    );
    const client = new ControlClient({ cluster, directory: join(folder.path, 'run', cluster) });
    return {
      log: run.log,
      pids: run.pids,
      snapshot: async () => {
        // The stream ends with the snapshot's report, or throws.
        for await (const _ of client.stream({ method: 'POST', path: '/v1/snapshots', body: {} }));
      },
      end: async () => {
        await run.end();
        rmSync(join(folder.path, 'snapshots'), { recursive: true, force: true });
      },
    };
  };
