import type { Duplex } from 'node:stream';
import * as v from 'valibot';
import { subscribe, type TsvmmEvent } from '../../vmm/events.ts';
import type { RunningCluster } from '../cluster/cluster.ts';
import type { ClusterVm } from '../cluster/cluster-vm.ts';
import { type LogLine, readLogs } from '../cluster/log-reader.ts';
import { clusterStats, clusterStatus } from '../cluster/status.ts';
import type { RunRecord } from '../home/run-directory.ts';
import type { DroppedLines } from './line-stream.ts';
import { type Route, route } from './route.ts';

const nothing = v.strictObject({});
const vmName = v.pipe(v.string(), v.maxLength(64));
const flag = v.pipe(
  v.picklist(['true', 'false']),
  v.transform(text => text === 'true'),
);
const countText = v.pipe(v.string(), v.regex(/^\d{1,9}$/, 'expected a number'), v.transform(Number));

/** What the control socket of a cluster answers, one route for each verb that asks it. */
export function clusterRoutes(cluster: RunningCluster, record: RunRecord, requestStop: () => void): Route[] {
  const status = () => clusterStatus(cluster, record);
  return [
    route({ kind: 'call', method: 'GET', path: '/v1/status', input: nothing, handle: status }),
    route({
      kind: 'call',
      method: 'GET',
      path: '/v1/stats',
      input: nothing,
      handle: () => clusterStats(cluster),
    }),
    route({
      kind: 'call',
      method: 'POST',
      path: '/v1/pause',
      input: nothing,
      handle: () => cluster.pause().then(status),
    }),
    route({
      kind: 'call',
      method: 'POST',
      path: '/v1/resume',
      input: nothing,
      handle: () => {
        cluster.resume();
        return status();
      },
    }),
    route({
      kind: 'call',
      method: 'POST',
      path: '/v1/stop',
      input: v.strictObject({ grace_s: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(3600)), 0) }),
      handle: ({ grace_s }) => {
        // The answer first: the socket goes with the cluster.
        setImmediate(() => void cluster.powerOff(grace_s * 1000).finally(requestStop));
        return {};
      },
    }),
    eventsRoute(cluster),
    logsRoute(cluster),
    consoleRoute(cluster),
    consoleSizeRoute(cluster),
  ];
}

/** Events from now on. */
const eventsRoute = (cluster: RunningCluster): Route =>
  route({
    kind: 'stream',
    method: 'GET',
    path: '/v1/events',
    input: nothing,
    handle: async (_, stream) => {
      const isOurs = (event: TsvmmEvent) => event.cluster === cluster.config.name;
      const unsubscribe = subscribe(event => isOurs(event) && stream.write(event));
      await aborted(stream.signal);
      unsubscribe();
    },
  });

/** That come while those of the past are being read. */
const MOST_LINES_MEANWHILE = 10_000;

/** What the consoles have said, and with `follow` what they say from now on, each line once. */
const logsRoute = (cluster: RunningCluster): Route =>
  route({
    kind: 'stream',
    method: 'GET',
    path: '/v1/logs',
    input: v.strictObject({
      vm: v.optional(vmName),
      follow: v.optional(flag, 'false'),
      tail: v.optional(countText),
    }),
    handle: async ({ vm, follow, tail }, stream) => {
      const vms = vm === undefined ? [...cluster.vms.values()] : [cluster.vm(vm)];
      // The files are opened at their present length before anything else can be logged.
      const logged = readLogs(new Map(vms.map(({ name, console }) => [name, console.log.path])), tail);
      const sinceThen: LogLine[] = [];
      let dropped = 0;
      let write = (line: LogLine): void => {
        if (sinceThen.length < MOST_LINES_MEANWHILE) sinceThen.push(line);
        else dropped++;
      };
      const unfollow = follow ? vms.map(each => followLines(each, line => write(line))) : [];
      try {
        // What is in the files can wait for a client that reads slowly.
        for (const lines of [await logged, sinceThen])
          for (const line of lines) {
            await stream.room();
            stream.write(line);
          }
        if (dropped > 0) stream.write({ dropped } satisfies DroppedLines);
        write = line => stream.write(line);
        if (follow) await aborted(stream.signal);
      } finally {
        for (const end of unfollow) end();
      }
    },
  });

function followLines({ name, console }: ClusterVm, write: (line: LogLine) => void): () => void {
  const onLine = (line: string) => write({ time: new Date().toISOString(), vm: name, line });
  console.on('line', onLine);
  return () => console.off('line', onLine);
}

/** A terminal of a VM: its last screen, then its output; what comes in is typed on its console. */
const consoleRoute = (cluster: RunningCluster): Route =>
  route({
    kind: 'raw',
    method: 'GET',
    path: '/v1/console',
    input: v.strictObject({ vm: vmName }),
    handle: input => {
      const vm = cluster.vm(input.vm);
      return (socket, head) => connectConsole(vm, socket, head);
    },
  });

/** The size of the terminal that looks at a console. */
const consoleSizeRoute = (cluster: RunningCluster): Route =>
  route({
    kind: 'call',
    method: 'POST',
    path: '/v1/console/size',
    input: v.strictObject({ vm: vmName, columns: extent, rows: extent }),
    handle: ({ vm, columns, rows }) => cluster.vm(vm).resizeConsole(columns, rows),
  });

const extent = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

function connectConsole(vm: ClusterVm, socket: Duplex, head: Uint8Array): void {
  const type = (bytes: Uint8Array) => {
    if (!vm.type(Uint8Array.from(bytes))) socket.pause();
  };
  const typeOn = () => socket.resume();
  const show = (bytes: Uint8Array) => {
    // A terminal that does not keep up loses output, as on a real serial line.
    if (socket.writableLength < MOST_UNREAD_BYTES) socket.write(Buffer.from(bytes));
  };
  const hangUp = () => {
    socket.end();
    // Its end is seen by reading.
    socket.resume();
  };
  socket.write(vm.console.lastScreen());
  vm.console.on('bytes', show);
  vm.on('inputTaken', typeOn);
  vm.once('exit', hangUp);
  if (vm.exit !== undefined) hangUp();
  if (head.length > 0) type(head);
  socket.on('data', type);
  socket.on('end', hangUp);
  socket.on('close', () => {
    vm.console.off('bytes', show);
    vm.off('inputTaken', typeOn);
    vm.off('exit', hangUp);
  });
}

const MOST_UNREAD_BYTES = 1024 * 1024;

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
