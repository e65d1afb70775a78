import { TsvmmError } from '../../vmm/errors.ts';

/** A file that is not what it should be: damaged, truncated, or not ours at all. */
export const corrupt = (path: string, what: string): TsvmmError =>
  new TsvmmError('TSVMM_E_DISK_CORRUPT', `${path}: ${what}`, {
    hint: 'run tsvmm disk check on it; take the disk from a snapshot or a backup if it stays damaged',
  });
