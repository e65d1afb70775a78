import { join } from 'node:path';
import { TsvmmError } from '../../../vmm/errors.ts';
import { DiskFolder } from '../disk-folder.ts';
import { digestLayer } from '../layer-digest.ts';
import { LayerState } from '../layer-format.ts';
import { openLayer, openLayers } from '../open-layers.ts';

export interface CheckReport {
  readonly path: string;
  /** What is wrong, in words; empty when all is in order. */
  readonly problems: readonly string[];
  /** What is unusual, but not wrong. */
  readonly remarks: readonly string[];
  /** How much data was read, with `readData`. */
  readonly data_bytes: number;
}

/**
 * Checks all that can be checked of the disk in the folder `path` without changing it: the description, each layer, and
 * that they belong together. With `readData` it also reads all data, to meet errors of the host's disk.
 *
 * Throws TSVMM_E_NOT_FOUND, and TSVMM_E_CONFLICT when the disk is in use.
 */
export async function checkDisk(path: string, { readData = false } = {}): Promise<CheckReport> {
  const problems: string[] = [];
  const remarks: string[] = [];
  let data_bytes = 0;
  const folder = await collect(problems, () => DiskFolder.open(path, { writable: false }));
  if (folder === undefined) return { path, problems, remarks, data_bytes };
  try {
    for (const [position, { file }] of folder.description.layers.entries()) {
      const layerPath = join(path, file);
      const layer = await collect(problems, async () => openLayer(layerPath, false));
      layer?.close();
      const isTop = position === folder.description.layers.length - 1;
      if (layer?.state === LayerState.LIVE && isTop)
        remarks.push(`${file}: not closed in order; what was not flushed is lost`);
      if (layer === undefined || !readData) continue;
      const digest = await collect(problems, () => digestLayer(layerPath));
      data_bytes += digest?.data_bytes ?? 0;
    }
    if (problems.length === 0)
      await collect(problems, async () => openLayers(path, folder.description, { writable: false }).close());
  } finally {
    folder.close();
  }
  return { path, problems, remarks, data_bytes };
}

/** What `work` gives, or undefined after noting what is wrong with the disk. */
async function collect<Result>(problems: string[], work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as { code?: string };
    if (!(error instanceof TsvmmError) || code === 'TSVMM_E_NOT_FOUND' || code === 'TSVMM_E_CONFLICT')
      throw error;
    problems.push(error.message);
    return undefined;
  }
}
