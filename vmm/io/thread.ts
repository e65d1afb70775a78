import { Worker, type WorkerOptions } from 'node:worker_threads';

/** A thread of ours holds few objects: small heaps keep the memory of a cluster of many threads low. */
const THREAD_OPTIONS: WorkerOptions = {
  resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64, stackSizeMb: 1 },
};

/**
 * Starts the worker thread whose module lies at `relative` (without extension) to the caller's module: compiled
 * code starts compiled workers, development under tsx starts TypeScript ones.
 */
export function startThread(callerUrl: string, relative: string, options: WorkerOptions): Worker {
  const threadOptions = { ...THREAD_OPTIONS, ...options };
  if (!callerUrl.endsWith('.ts')) return new Worker(new URL(`${relative}.js`, callerUrl), threadOptions);
  // tsx does not reach into worker threads by itself: the thread registers it before it loads its module.
  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const module = JSON.stringify(new URL(`${relative}.ts`, callerUrl).href);
  const bootstrap = `import(${tsx}).then(({ register }) => { register(); return import(${module}); })`;
  return new Worker(bootstrap, { ...threadOptions, eval: true });
}
