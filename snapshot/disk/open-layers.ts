import { join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { HostFile } from './block-file.ts';
import { corrupt } from './corrupt.ts';
import { type DiskDescription, describedBase, describedGeometry } from './description.ts';
import { sameGeometry } from './geometry.ts';
import { Layer } from './layer.ts';
import { type BaseIdentity, type LayerId, LayerState, NO_LAYER } from './layer-format.ts';

export interface OpenedLayers {
  readonly base: HostFile | undefined;
  /** From the bottom up. */
  readonly layers: readonly Layer[];
  close(): void;
}

/**
 * Opens the base and the layers of a disk in `folder` and checks that they belong together. If `writable`, layers
 * that are not frozen are opened for writing; otherwise nothing is, and all must be in order as they are.
 *
 * Throws TSVMM_E_DISK for files that cannot be opened, TSVMM_E_DISK_CORRUPT for ones that are not what they should be.
 */
export function openLayers(
  folder: string,
  description: DiskDescription,
  { writable }: { writable: boolean },
): OpenedLayers {
  const opened: { close(): void }[] = [];
  const close = () => {
    for (const file of opened) file.close();
  };
  try {
    const base = openBase(description);
    if (base !== undefined) opened.push(base);
    const layers: Layer[] = [];
    let parent: LayerId = NO_LAYER;
    for (const { file, id } of description.layers) {
      const layer = openLayer(join(folder, file), writable);
      opened.push(layer);
      checkPlace(layer, description, id, parent);
      layers.push(layer);
      parent = id;
    }
    return { base, layers, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Opens one layer; for writing only if it may be. */
export function openLayer(path: string, writable: boolean): Layer {
  const layer = closingOnError(new HostFile(path, { writable: false }), Layer.open);
  if (!writable || layer.state === LayerState.FROZEN) return layer;
  layer.close();
  const file = new HostFile(path, { writable: true });
  if (file.linkCount === 1) return closingOnError(file, Layer.open);
  file.close();
  throw new TsvmmError('TSVMM_E_CONFLICT', `${path} is to be written, but has other names too`, {
    hint: 'a layer in use was hard-linked: copy it instead, and remove the link',
  });
}

/** The identity of a base file as it is now. */
export const baseIdentity = (file: HostFile): BaseIdentity => ({
  size: file.size,
  modified_ns: file.modified_ns,
});

function openBase(description: DiskDescription): HostFile | undefined {
  if (description.base === null) return undefined;
  const file = new HostFile(description.base.path, { writable: false });
  if (sameBase(baseIdentity(file), describedBase(description))) return file;
  file.close();
  throw new TsvmmError('TSVMM_E_DISK_CORRUPT', `${file.path} was changed after disks were based on it`, {
    hint: 'put the original file back, with its modification time; a base must not change while disks need it',
  });
}

function checkPlace(layer: Layer, description: DiskDescription, id: LayerId, parent: LayerId): void {
  const { header, file } = layer;
  if (header.id !== id) throw corrupt(file.path, `is layer ${header.id}, not ${id}`);
  if (header.parent !== parent)
    throw corrupt(file.path, `belongs on layer ${header.parent}, not on ${parent}`);
  if (!sameGeometry(header.geometry, describedGeometry(description)))
    throw corrupt(file.path, 'is for a disk of another size');
  if (!sameBase(header.base, describedBase(description)))
    throw corrupt(file.path, 'is for a disk with another base');
}

const sameBase = (a: BaseIdentity, b: BaseIdentity): boolean =>
  a.size === b.size && a.modified_ns === b.modified_ns;

function closingOnError<Result>(file: HostFile, use: (file: HostFile) => Result): Result {
  try {
    return use(file);
  } catch (error) {
    file.close();
    throw error;
  }
}
