import { TsvmmError } from '../../vmm/errors.ts';

/** Why a running cluster is to end. */
export type ShutdownCause =
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  | { readonly kind: 'request' }
  | { readonly kind: 'error'; readonly error: unknown };

const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
type EndingSignal = keyof typeof signals;

/** One wish to end may come as two signals: to the process, and to its group. */
const SAME_WISH_MS = 300;
/** A clean end takes well under a second; what takes this long hangs. */
const PATIENCE_MS = 15_000;

/**
 * Turns everything that ends this process (signals, requests, exceptions nobody caught) into one promise, upon which
 * the cluster is stopped in order. A second signal, or a clean end that hangs, ends it at once.
 */
export class Shutdown {
  /** Resolves with the first cause. */
  readonly requested: Promise<ShutdownCause>;
  /** Aborts then, with TSVMM_E_INTERRUPTED or the error. */
  readonly signal: AbortSignal;
  private readonly controller = new AbortController();
  private readonly lastSteps: (() => void)[] = [];
  private resolve!: (cause: ShutdownCause) => void;
  private first: ShutdownCause | undefined;
  private begun_ms = 0;

  constructor() {
    this.signal = this.controller.signal;
    this.requested = new Promise(resolve => {
      this.resolve = resolve;
    });
    for (const name of Object.keys(signals) as EndingSignal[]) {
      process.on(name, () => this.begin({ kind: 'signal', signal: name }));
    }
    process.on('uncaughtException', error => this.begin({ kind: 'error', error }));
    // Nobody reads what a cluster in the foreground shows.
    process.stdout.on('error', () => this.request());
    process.on('exit', () => this.runLastSteps());
  }

  /** Why this process is to end, if it is. */
  get cause(): ShutdownCause | undefined {
    return this.first;
  }

  /** `step` runs when the process ends, in whatever way it does: synchronous, quick, idempotent. */
  atExit(step: () => void): void {
    this.lastSteps.unshift(step);
  }

  request(): void {
    this.begin({ kind: 'request' });
  }

  fail(error: unknown): void {
    this.begin({ kind: 'error', error });
  }

  private begin(cause: ShutdownCause): void {
    if (this.first === undefined) {
      this.first = cause;
      this.begun_ms = performance.now();
      this.resolve(cause);
      this.controller.abort(reasonOf(cause));
      setTimeout(() => this.force(1, 'the cluster does not stop: ending the process'), PATIENCE_MS).unref();
      return;
    }
    const isAnew = performance.now() - this.begun_ms > SAME_WISH_MS;
    if (cause.kind === 'signal' && isAnew) this.force(signals[cause.signal as EndingSignal], 'ended at once');
    // The first error is the one to be told; those that follow from it are not.
  }

  /** process.exit() would wait for threads that may be what hangs. */
  private async force(code: number, why: string): Promise<void> {
    process.stderr.write(`${why}\n`);
    this.runLastSteps();
    try {
      (await import('../../vmm/ffi/libc.ts')).exitNow(code);
    } catch {
      // Without FFI there are no such threads.
      process.exit(code);
    }
  }

  private runLastSteps(): void {
    for (const step of this.lastSteps.splice(0)) {
      try {
        step();
      } catch {
        // The other steps matter all the more.
      }
    }
  }
}

/** The exit code of a command that was ended this way: 128 and the signal's number, as shells have it. */
export const exitCodeOf = (cause: ShutdownCause): number =>
  cause.kind === 'signal' ? signals[cause.signal as EndingSignal] : 0;

function reasonOf(cause: ShutdownCause): unknown {
  if (cause.kind === 'error') return cause.error;
  const by = cause.kind === 'signal' ? cause.signal : 'a request to stop';
  return new TsvmmError('TSVMM_E_INTERRUPTED', `ended by ${by}`);
}
