import { createDisk } from '../../snapshot/disk/create.ts';
import { exportDisk } from '../../snapshot/disk/tools/export.ts';
import { importDisk } from '../../snapshot/disk/tools/import.ts';
import { mergeLayers } from '../../snapshot/disk/tools/merge.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { parseSize } from '../config/units.ts';
import { abortOnSignals } from '../ui/abort.ts';
import { narrate } from '../ui/output.ts';
import { humanSize } from '../ui/units.ts';

/** `disk create`. */
export async function create(folder: string, options: { size?: string; base?: string }): Promise<void> {
  const size = options.size === undefined ? undefined : sizeOf(options.size);
  if (options.base !== undefined) {
    await createDisk(folder, size === undefined ? { base: options.base } : { base: options.base, size });
  } else if (size !== undefined) {
    await createDisk(folder, { size });
  } else {
    throw usage('a disk needs a size or a base', 'give --size, --base, or both');
  }
  narrate(`created ${folder}`);
}

/** `disk export`. */
export async function exportRaw(folder: string, file: string, options: { layers?: string }): Promise<void> {
  const signal = abortOnSignals();
  const layerCount = options.layers === undefined ? undefined : wholeNumber(options.layers, '--layers');
  const bytes = await exportDisk(
    folder,
    file,
    layerCount === undefined ? { signal } : { layerCount, signal },
  );
  narrate(`exported ${humanSize(bytes)} to ${file}`);
}

/** `disk import`. */
export async function importImage(
  image: string,
  folder: string,
  options: { from?: 'raw' | 'qcow2' },
): Promise<void> {
  const signal = abortOnSignals();
  await importDisk(image, folder, options.from === undefined ? { signal } : { format: options.from, signal });
  narrate(`imported ${image} to ${folder}`);
}

/** `disk merge`. */
export async function merge(folder: string, options: { first?: string; last?: string }): Promise<void> {
  await mergeLayers(folder, {
    ...(options.first === undefined ? {} : { first: wholeNumber(options.first, '--first') }),
    ...(options.last === undefined ? {} : { last: wholeNumber(options.last, '--last') }),
    signal: abortOnSignals(),
  });
  narrate(`merged layers of ${folder}`);
}

function sizeOf(text: string): number {
  const size = parseSize(text);
  if (size === undefined) throw usage(`${text} is not a size`, 'write it as 64MiB or 1.5GiB');
  return size;
}

function wholeNumber(text: string, option: string): number {
  if (!/^\d{1,4}$/.test(text)) throw usage(`${option} ${text}: not a whole number`, 'see tsvmm disk --help');
  return Number(text);
}

const usage = (message: string, hint: string): TsvmmError =>
  new TsvmmError('TSVMM_E_USAGE', message, { hint });
