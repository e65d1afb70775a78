import { lockSnapshot } from '../../snapshot/image/lock.ts';
import { verifySnapshot } from '../../snapshot/image/verify.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { type FormatOptions, print, printJson } from '../ui/output.ts';
import { resolveSnapshot } from './resolve.ts';
import { mebibytes } from './tables.ts';

/** `snap verify`. Throws TSVMM_E_SNAPSHOT_CORRUPT after showing all there is to find. */
export async function verify(name: string, { format }: FormatOptions): Promise<void> {
  const folder = resolveSnapshot(name);
  const lock = lockSnapshot(folder, 'shared');
  const findings = await verifySnapshot(folder).finally(() => lock.release());
  const damaged = findings.filter(({ error }) => error !== undefined);
  if (format === 'json') printJson({ snapshot: name, ok: damaged.length === 0, findings });
  else {
    for (const { what, bytes, error } of findings)
      print(`${error === undefined ? 'ok     ' : 'DAMAGED'}  ${what}  ${error ?? mebibytes(bytes)}`);
  }
  if (damaged.length === 0) return;
  throw new TsvmmError(
    'TSVMM_E_SNAPSHOT_CORRUPT',
    `${damaged.length} of ${findings.length} parts of ${name} are damaged`,
    {
      hint: 'do not restore it; take another snapshot',
    },
  );
}
