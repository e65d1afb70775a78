/**
 * The life of a cluster in this process, from the cluster file to the last thing given back. The order of the steps
 * is made for a short start: what takes long by itself (the first threads) begins before what keeps this thread busy
 * (loading code, reading the file), and what can wait (the control socket) comes when the guests run.
 * The performance marks are for measuring these steps; TSVMM_TIMING=1 prints them.
 */
import { renameSync } from 'node:fs';
import { Teardown } from '../../vmm/teardown.ts';
import type { ControlServer } from '../api/server.ts';
import type { ResolvedCluster } from '../config/resolved.ts';
import type { RunDirectory } from '../home/run-directory.ts';
import type { RunningCluster } from './cluster.ts';
import type { ClusterVm, VmExit } from './cluster-vm.ts';
import type { HostParts } from './host-parts.ts';
import type { RestoreRequest, RestoreSource } from './restore-source.ts';
import type { RunReporter } from './run-report.ts';
import { exitCodeOf, Shutdown, type ShutdownCause } from './shutdown.ts';
import type { ClusterSnapshots, ClusterSource } from './snapshots.ts';

export interface RunRequest {
  readonly source: RunSource;
  /** Takes the place of the file's name. */
  readonly name?: string | undefined;
  readonly detached?: DetachedRun | undefined;
}

/** What to run: a cluster file, or a snapshot to go on from. */
export type RunSource = { readonly file: string } | RestoreRequest;

export interface DetachedRun {
  /** How long the guests may take to boot. */
  readonly timeout_ms: number;
  readonly reporter: RunReporter;
  /** Where this process writes its own messages; it moves into the run directory. */
  readonly logFile: string;
}

/** Shows a cluster that runs in the foreground. */
export interface RunView {
  /** The guests are about to start, or to go on when they had `booted` before. */
  watch(cluster: RunningCluster, options: { readonly booted: boolean }): void;
  /** A guest has ended by itself. */
  guestEnded(vm: ClusterVm, exit: VmExit): void;
}

/** Runs the cluster until it ends; answers the exit code. Throws what made it fail. */
export async function runCluster(request: RunRequest, view: RunView): Promise<number> {
  const shutdown = new Shutdown();
  const teardown = new Teardown();
  try {
    const cause = await start(request, view, shutdown, teardown);
    if (cause?.kind === 'error') throw cause.error;
    await teardown.run();
    return cause === undefined ? 0 : exitCodeOf(cause);
  } catch (error) {
    await teardown.run().catch(() => {});
    // What a signal makes the start throw is no failure of its own.
    if (shutdown.cause?.kind === 'signal' && error === shutdown.signal.reason)
      return exitCodeOf(shutdown.cause);
    throw error;
  }
}

/** Resolves with what ends the cluster; undefined when all guests have ended by themselves. */
async function start(
  request: RunRequest,
  view: RunView,
  shutdown: Shutdown,
  teardown: Teardown,
): Promise<ShutdownCause | undefined> {
  performance.mark('open');
  const { ThreadsAhead } = await import('./threads-ahead.ts');
  const threads = new ThreadsAhead({ restoring: 'snapshot' in request.source });
  teardown.add(() => threads.close());
  const { HostParts } = await import('./host-parts.ts');
  const parts = HostParts.open(shutdown.signal, threads);
  parts.onFailure = error => shutdown.fail(error);
  teardown.add(() => parts.close());
  const restore = await openSnapshot(request.source, error => shutdown.fail(error));
  teardown.add(() => restore?.release());
  parts.restore = restore;

  performance.mark('read file');
  const { parseCluster, readClusterFile } = await import('../config/load.ts');
  const source = restore?.source ?? readSource(request.source as { file: string }, readClusterFile);
  // MAC addresses come from the name: a restored cluster keeps those its guests know.
  const early = restore === undefined && request.name !== undefined ? { name: request.name } : {};
  const original = parseCluster(source.file, source.text, {
    ...early,
    remember: true,
    restored: restore !== undefined,
  });
  const name = request.name ?? restore?.cluster;
  const named = name === undefined ? original : { ...original, name };
  const config = restore === undefined ? named : restore.adapt(named);

  performance.mark('claim name');
  const { RunningCluster } = await import('./cluster.ts');
  const directory = await claim(config, request, shutdown, teardown);
  shutdown.signal.throwIfAborted();

  // Closed after the cluster has been stopped: until then its clients hear what happens.
  let server: ControlServer | undefined;
  teardown.add(() => server?.close());
  performance.mark('compose');
  const options = { logDirectory: directory.path, signal: shutdown.signal };
  const cluster = await RunningCluster.create(config, parts, options);
  teardown.add(() => cluster.stop());
  shutdown.signal.throwIfAborted();

  const snapshots = await prepareSnapshots(cluster, source, parts, restore, shutdown, teardown);

  performance.mark('start guests');
  const ended = untilEnd(cluster, view, { failFast: request.detached === undefined });
  const past = { booted: restore !== undefined };
  view.watch(cluster, past);
  cluster.start(past);
  const end = Promise.race([ended, shutdown.requested]);

  performance.mark('serve');
  server = await serve(cluster, directory, shutdown, parts, snapshots);
  if (request.detached !== undefined) await reportBoot(cluster, directory, request.detached, shutdown);
  const cause = await end;
  // Of a detached cluster the consoles can be read until it is stopped.
  return cause === undefined && request.detached !== undefined ? shutdown.requested : cause;
}

function readSource({ file }: { file: string }, read: (file: string) => string): ClusterSource {
  return { file: file === '-' ? 'stdin' : file, text: read(file) };
}

async function openSnapshot(
  source: RunSource,
  onDamage: (error: Error) => void,
): Promise<RestoreSource | undefined> {
  if (!('snapshot' in source)) return undefined;
  const { RestoreSource } = await import('./restore-source.ts');
  return RestoreSource.open(source, onDamage);
}

/** Delivers what a restored snapshot recorded; snapshots themselves are made ready when the first is asked for. */
async function prepareSnapshots(
  cluster: RunningCluster,
  source: ClusterSource,
  { machines, networks, disks }: HostParts,
  restore: RestoreSource | undefined,
  shutdown: Shutdown,
  teardown: Teardown,
): Promise<() => Promise<ClusterSnapshots>> {
  if (networks === undefined || disks === undefined)
    throw new Error('the cluster was composed without devices');
  await networks.ready();
  if (restore !== undefined) await networks.inject(restore.channel());
  restore?.release();
  let snapshots: Promise<ClusterSnapshots> | undefined;
  teardown.add(async () => (await snapshots)?.close());
  const make = async () => {
    const { ClusterSnapshots } = await import('./snapshots.ts');
    const made = new ClusterSnapshots(cluster, source, {
      machines,
      networks,
      disks,
      epoch: restore?.epoch ?? 0,
      origin: restore?.ancestor,
    });
    shutdown.atExit(() => made.removeUnfinished());
    return made;
  };
  return () => {
    snapshots ??= make();
    return snapshots;
  };
}

async function claim(
  config: ResolvedCluster,
  { detached }: RunRequest,
  shutdown: Shutdown,
  teardown: Teardown,
): Promise<RunDirectory> {
  const { CONTROL_LOG, RunDirectory } = await import('../home/run-directory.ts');
  const { version } = await import('../version.ts');
  const directory = await RunDirectory.claim({
    cluster: config.name,
    file: config.file,
    started: new Date().toISOString(),
    version,
  });
  shutdown.atExit(() => directory.remove());
  teardown.add(() => directory.remove());
  if (detached !== undefined) renameSync(detached.logFile, directory.file(CONTROL_LOG));
  return directory;
}

/**
 * Resolves when all guests have ended. With `failFast` it rejects when the first of them fails, as nobody would
 * see it among the output of the others.
 */
function untilEnd(
  cluster: RunningCluster,
  view: RunView,
  { failFast }: { failFast: boolean },
): Promise<undefined> {
  return new Promise((resolve, reject) => {
    cluster.on('exit', (vm, exit) => {
      view.guestEnded(vm, exit);
      if (failFast && exit.error !== undefined) reject(exit.error);
      else if (cluster.state === 'ended') resolve(undefined);
    });
  });
}

async function serve(
  cluster: RunningCluster,
  directory: RunDirectory,
  shutdown: Shutdown,
  parts: HostParts,
  snapshots: () => Promise<ClusterSnapshots>,
): Promise<ControlServer> {
  const { ControlServer } = await import('../api/server.ts');
  const { clusterRoutes } = await import('../api/cluster-routes.ts');
  const { balloonRoutes } = await import('../api/balloon-routes.ts');
  const { captureRoute } = await import('../api/capture-route.ts');
  const { snapshotRoutes } = await import('../api/snapshot-routes.ts');
  const routes = [
    ...clusterRoutes(cluster, directory.record, () => shutdown.request()),
    ...balloonRoutes(cluster),
    ...snapshotRoutes(cluster, snapshots),
    captureRoute(cluster, () => parts.networks?.networks),
  ];
  return ControlServer.listen(directory.path, routes);
}

async function reportBoot(
  cluster: RunningCluster,
  directory: RunDirectory,
  { timeout_ms, reporter }: DetachedRun,
  shutdown: Shutdown,
): Promise<void> {
  const { clusterStatus } = await import('./status.ts');
  await Promise.race([cluster.booted(timeout_ms), rejectOn(shutdown)]);
  reporter.booted(clusterStatus(cluster, directory.record));
}

async function rejectOn(shutdown: Shutdown): Promise<never> {
  await shutdown.requested;
  throw shutdown.signal.reason;
}
