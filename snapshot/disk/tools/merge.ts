import { TsvmmError } from '../../../vmm/errors.ts';
import { DiskFolder } from '../disk-folder.ts';
import { withMerged, writeMerged } from '../merge-layers.ts';
import { openLayers } from '../open-layers.ts';

export interface MergeOptions {
  /** Positions from the bottom, counted from 0; all layers if left out. */
  readonly first?: number;
  readonly last?: number;
  readonly signal?: AbortSignal;
}

/**
 * Puts adjacent layers of the disk in the folder `path` into one. The merged layer is a new file: the old ones are
 * never written, and only lose their names here, after disk.json names the new one; so a snapshot that has names for
 * them keeps them, and a crash leaves either all or none.
 *
 * Throws TSVMM_E_NOT_FOUND, TSVMM_E_CONFLICT when the disk is in use, TSVMM_E_USAGE, TSVMM_E_DISK, TSVMM_E_DISK_CORRUPT.
 */
export async function mergeLayers(
  path: string,
  { first = 0, last, signal }: MergeOptions = {},
): Promise<void> {
  const folder = await DiskFolder.open(path, { writable: true });
  try {
    const { description } = folder;
    const { layers } = description;
    const end = (last ?? layers.length - 1) + 1;
    if (
      !Number.isInteger(first) ||
      !Number.isInteger(end) ||
      first < 0 ||
      end > layers.length ||
      end - first < 2
    ) {
      throw new TsvmmError(
        'TSVMM_E_USAGE',
        `layers ${first} to ${end - 1} of ${layers.length} cannot be merged`,
        { hint: 'name two or more layers that the disk has; see tsvmm disk info' },
      );
    }
    // Nothing is built on a chain that is not in order.
    openLayers(path, description, { writable: false }).close();
    const merged = await writeMerged(folder, first, end, signal);
    await folder.save({ ...description, layers: withMerged(layers, first, end, merged) });
    for (const { file } of layers.slice(first, end)) await folder.unlinkLayer(file);
  } finally {
    folder.close();
  }
}
