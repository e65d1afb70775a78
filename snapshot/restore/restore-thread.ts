/** A thread that loads the memory of restored VMs: all of it at once, or as each of them asks for it. */
import { serializeError } from '../../vmm/errors.ts';
import { serveIoThread } from '../../vmm/io/io-thread.ts';
import type { MemorySource } from '../image/memory-source.ts';
import { type LoadTarget, loadEagerly } from './eager.ts';
import { Pager, type PagerSetup } from './pager.ts';
import { Rotation } from './rotation.ts';
import { Staging } from './staging.ts';

export type RestoreMessage =
  | { readonly load: MemorySource; readonly into: LoadTarget }
  | { readonly page: PagerSetup }
  /** Of the VM whose pages are loaded: see Pager. */
  | 'built'
  | 'released'
  /** Answers what went wrong, if anything has. */
  | 'failure'
  /** Nothing more is to be loaded for the VM. */
  | 'end';

export interface RestoreRequest {
  readonly vm: number;
  readonly message: RestoreMessage;
}

interface Job {
  readonly pager: Pager;
  failure: unknown;
}

serveIoThread<RestoreRequest>(loop => {
  /** By VM, those whose memory is loaded lazily. */
  const jobs = new Map<number, Job>();
  const rotation = new Rotation();
  /** Pagers use it in turns, each for one chunk. */
  const staging = new Staging();
  loop.onBeforeSleep(() => {
    const wait_ms = rotation.prefetch();
    // Started ahead, it has time until it is told what to load, and again until the first VM is let run.
    return wait_ms < 0 && staging.prepare() ? 0 : wait_ms;
  });
  loop.onClose(() => {
    for (const { pager } of jobs.values()) pager.close();
    staging.free();
  });

  function page(vm: number, setup: PagerSetup): void {
    const pager = new Pager(setup, staging, loop, error => {
      job.failure = error;
      rotation.remove(pager);
    });
    const job: Job = { pager, failure: undefined };
    jobs.set(vm, job);
    rotation.add(pager);
  }

  function end(vm: number, { pager }: Job): void {
    rotation.remove(pager);
    pager.abandon();
    jobs.delete(vm);
  }

  return ({ vm, message }) => {
    const job = jobs.get(vm);
    switch (message) {
      case 'failure':
        return job?.failure === undefined ? undefined : serializeError(job.failure);
      case 'built':
        if (job?.failure !== undefined) throw job.failure;
        return job?.pager.built();
      case 'released':
        return job?.pager.released();
      case 'end':
        if (job !== undefined) end(vm, job);
        return undefined;
    }
    if ('load' in message) return loadEagerly(message.load, message.into);
    return page(vm, message.page);
  };
});
