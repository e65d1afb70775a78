import { link } from 'node:fs/promises';
import { join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { copyLayer } from './copy-layer.ts';
import { corrupt } from './corrupt.ts';
import type { DiskDescription, LayerDescription } from './description.ts';
import { syncFolder } from './durable-files.ts';
import { LayerState } from './layer-format.ts';
import { openLayer } from './open-layers.ts';

/** A disk as it was when it was frozen: files that do not change any more. */
export interface FrozenDisk {
  /** Where the description's layer files are. */
  readonly folder: string;
  readonly description: DiskDescription;
}

/**
 * Gives the frozen layers names in `target`, an existing folder, too: hard links, or copies on another file system.
 * The file system counts who needs a layer: removing or merging it elsewhere takes nothing away here. Returns
 * the description that holds in `target`, once everything is on stable storage.
 *
 * Throws TSVMM_E_DISK when it fails half-way; whoever made `target` removes it.
 */
export async function shareLayers(
  { folder, description }: FrozenDisk,
  target: string,
): Promise<DiskDescription> {
  const layers: LayerDescription[] = [];
  for (const [position, { file, id }] of description.layers.entries()) {
    const name = `${position + 1}.layer`;
    await shareFile(join(folder, file), join(target, name));
    layers.push({ file: name, id });
  }
  await syncFolder(target);
  return { ...description, layers };
}

async function shareFile(from: string, to: string): Promise<void> {
  const layer = openLayer(from, false);
  layer.close();
  if (layer.state !== LayerState.FROZEN) throw corrupt(from, 'not a frozen layer');
  try {
    await link(from, to);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK' && code !== 'ENOTSUP')
      throw new TsvmmError('TSVMM_E_DISK', `cannot link ${from} to ${to}: ${code}`, { cause });
    await copyLayer(from, to);
  }
}
