import * as v from 'valibot';
import { compressions } from '../../snapshot/image/compression-names.ts';
import { serializeError } from '../../vmm/errors.ts';
import type { RunningCluster } from '../cluster/cluster.ts';
import type { ClusterSnapshots, SnapshotProgress } from '../cluster/snapshots.ts';
import { type Route, route } from './route.ts';

const snapshotName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'expected letters, digits, ".", "_" and "-"'),
);

/** Progress is told so much later, for people to see: right after the cuts the processors are the guests'. */
const PROGRESS_DELAY_MS = 25;

/** What a client of a snapshot gets, one line each: progress, then the report. */
export type SnapshotLine = { readonly progress: SnapshotProgress } | { readonly report: unknown };

export const snapshotRoutes = (
  cluster: RunningCluster,
  snapshots: () => Promise<ClusterSnapshots>,
): Route[] => [
  route({
    kind: 'stream',
    method: 'POST',
    path: '/v1/snapshots',
    input: v.strictObject({
      name: v.optional(snapshotName),
      method: v.optional(v.picklist(['hotsnap', 'stop-copy', 'pre-copy']), 'hotsnap'),
      cow: v.optional(v.picklist(['auto', 'mprotect', 'userfaultfd']), 'auto'),
      filter: v.optional(v.picklist(['hold', 'drop', 'off']), 'hold'),
      compress: v.optional(v.picklist(compressions), 'none'),
      incremental: v.optional(v.boolean(), false),
      timeout_s: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(86_400)), 600),
      /** Without, the stream ends at the last cut, and the snapshot is completed behind it. */
      wait: v.optional(v.boolean(), true),
    }),
    handle: async ({ wait, ...request }, stream) => {
      const uncut = new Set(cluster.vms.keys());
      let allCut: () => void = () => {};
      const cut = new Promise<void>(resolve => {
        allCut = resolve;
      });
      const waiting: SnapshotLine[] = [];
      let timer: NodeJS.Timeout | undefined;
      const tell = () => {
        clearTimeout(timer);
        timer = undefined;
        for (const line of waiting.splice(0)) if (!stream.signal.aborted) stream.write(line);
      };
      const taken = (await snapshots()).take(
        request,
        progress => {
          waiting.push({ progress });
          timer ??= setTimeout(tell, PROGRESS_DELAY_MS);
          if (progress.kind === 'cut') uncut.delete(progress.vm);
          if (uncut.size === 0) allCut();
        },
        wait ? stream.signal : undefined,
      );
      try {
        const report = await (wait ? taken : Promise.race([taken, cut]));
        tell();
        if (report !== undefined) stream.write({ report } satisfies SnapshotLine);
        else taken.catch(error => process.stderr.write(`${JSON.stringify(serializeError(error))}\n`));
      } catch (error) {
        tell();
        stream.write({ error: serializeError(error) });
      }
    },
  }),
];
