import { TsvmmError } from '../vmm/errors.ts';

const SHOWN_LINES = 15;

/** The error of a build whose tool failed, with the last lines that it said. */
export function buildFailed(image: string, what: string, output: string, hint: string): TsvmmError {
  const lines = output.trimEnd().split('\n').slice(-SHOWN_LINES);
  return new TsvmmError(
    'TSVMM_E_IMAGE_BUILD',
    [`cannot build the guest image ${image}: ${what}`, ...lines].join('\n'),
    { hint },
  );
}
