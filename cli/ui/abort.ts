import { TsvmmError } from '../../vmm/errors.ts';

/** A signal that aborts, with TSVMM_E_INTERRUPTED, when the user or the system wants the command to end. */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => controller.abort(new TsvmmError('TSVMM_E_INTERRUPTED', `ended by ${name}`)));
  }
  return controller.signal;
}
