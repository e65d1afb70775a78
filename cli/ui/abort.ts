import { exitCodes, TsvmmError } from '../../vmm/errors.ts';

/** A signal that aborts, with TSVMM_E_INTERRUPTED, when the user or the system wants the command to end. */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => controller.abort(new TsvmmError('TSVMM_E_INTERRUPTED', `ended by ${name}`)));
  }
  return controller.signal;
}

/** A signal that aborts when the user has seen enough of an output without end, or nobody reads it any more. */
export function endQuietlyOnSignals(): AbortSignal {
  const controller = new AbortController();
  const end = () => controller.abort();
  process.once('SIGINT', () => {
    process.exitCode = exitCodes.interrupted;
    end();
  });
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.once(name, end);
  process.stdout.once('error', end);
  return controller.signal;
}
