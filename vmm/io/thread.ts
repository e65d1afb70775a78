import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * Starts the worker thread whose module lies at `relative` (without extension) to the caller's module: compiled
 * code starts compiled workers, development under tsx starts TypeScript ones.
 */
export function startThread(callerUrl: string, relative: string, options: WorkerOptions): Worker {
  const extension = callerUrl.endsWith('.ts') ? '.ts' : '.js';
  return new Worker(new URL(relative + extension, callerUrl), { ...THREAD_OPTIONS, ...options });
}

/** A thread of ours holds few objects: small heaps keep the memory of a cluster of many threads low. */
const THREAD_OPTIONS: WorkerOptions = {
  resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64, stackSizeMb: 1 },
};
