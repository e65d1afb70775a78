import { closeSync, writeSync } from 'node:fs';
import { type SerializedError, serializeError } from '../../vmm/errors.ts';
import type { ClusterStatus } from './status.ts';

/** What a detached process tells the command that started it, once, as one JSON document on a pipe. */
export type RunReport = { readonly status: ClusterStatus } | { readonly error: SerializedError };

/** The pipe's end in the detached process. */
export class RunReporter {
  private fd: number | undefined;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Whether the report is still due. */
  get isOpen(): boolean {
    return this.fd !== undefined;
  }

  booted(status: ClusterStatus): void {
    this.send({ status });
  }

  failed(error: unknown): void {
    this.send({ error: serializeError(error) });
  }

  private send(report: RunReport): void {
    if (this.fd === undefined) return;
    try {
      writeSync(this.fd, JSON.stringify(report));
      closeSync(this.fd);
    } catch {
      // The command was killed. The cluster is none the worse for it.
    }
    this.fd = undefined;
  }
}
