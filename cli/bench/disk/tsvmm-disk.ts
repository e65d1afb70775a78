import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient } from '../../api/client.ts';
import { accepts } from '../../home/socket.ts';
import { TsvmmRun } from '../guests/tsvmm-run.ts';
import type { BenchFolder } from './bench-folder.ts';
import { type DiskStarter, VM } from './disk-guests.ts';

const LOOK_MS = 20;
const MOST_TRIES = 3000;

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
    const directory = join(folder.path, 'run', cluster);
    const client = new ControlClient({ cluster, directory });
    return {
      log: run.log,
      pids: run.pids,
      snapshot: async () => {
        // The socket opens when the guests run already: they may be quicker.
        for (let tries = 0; !(await accepts(directory)) && tries < MOST_TRIES; tries++) await sleep(LOOK_MS);
        // The stream ends with the snapshot's report, or throws.
        for await (const _ of client.stream({ method: 'POST', path: '/v1/snapshots', body: {} }));
      },
      end: async () => {
        await run.end();
        rmSync(join(folder.path, 'snapshots'), { recursive: true, force: true });
      },
    };
  };
