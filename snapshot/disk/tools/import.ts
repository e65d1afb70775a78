import { execFile } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Segments } from '../../../vmm/devices/virtio/block/segments.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { alignUp, hvaOffset, MIB } from '../../../vmm/memory/address.ts';
import { HostFile } from '../block-file.ts';
import { createDisk } from '../create.ts';
import { describedGeometry } from '../description.ts';
import { DiskFolder } from '../disk-folder.ts';
import { SECTOR_SIZE } from '../geometry.ts';
import { allocateHostBuffer } from '../host-buffer.ts';
import { LayeredDisk } from '../layered-disk.ts';
import { openLayers } from '../open-layers.ts';
import { succeeded } from '../succeeded.ts';

const run = promisify(execFile);
const PIECE_BYTES = MIB;
/** "QFI\xfb" (QEMU's docs/interop/qcow2.txt). */
const QCOW2_MAGIC = 0x514649fb;

export interface ImportOptions {
  /** What the source is; found out by its first bytes if left out. */
  readonly format?: 'raw' | 'qcow2';
  readonly signal?: AbortSignal;
}

/**
 * Makes the disk in the folder `path` out of a copy of an image file, zeros left out. A qcow2 image is converted by
 * qemu-img; one that refers to other files is refused, as it would read whatever file of the host it likes.
 *
 * Throws TSVMM_E_DISK, TSVMM_E_CONFLICT, TSVMM_E_TOOL_MISSING, with nothing left behind.
 */
export async function importDisk(
  source: string,
  path: string,
  { format, signal }: ImportOptions = {},
): Promise<void> {
  if ((format ?? detectFormat(source)) === 'raw') return importRaw(source, path, signal);
  await refuseReferences(source);
  const temporary = await mkdtemp(join(dirname(resolve(path)), '.tsvmm-import-'));
  try {
    const raw = join(temporary, 'raw');
    await qemuImage(['convert', '-f', 'qcow2', '-O', 'raw', source, raw], signal);
    await importRaw(raw, path, signal);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

function detectFormat(source: string): 'raw' | 'qcow2' {
  const bytes = new Uint8Array(4);
  new HostFile(source, { writable: false }).close();
  const fd = openSync(source, 'r');
  readSync(fd, bytes);
  closeSync(fd);
  return new DataView(bytes.buffer).getUint32(0) === QCOW2_MAGIC ? 'qcow2' : 'raw';
}

async function refuseReferences(source: string): Promise<void> {
  const text = await qemuImage(['info', '--output=json', '-f', 'qcow2', source]);
  const info = JSON.parse(text) as Record<string, unknown>;
  const data = ((info['format-specific'] as Record<string, unknown> | undefined)?.data ?? {}) as object;
  if (!('backing-filename' in info) && !('data-file' in data)) return;
  throw new TsvmmError('TSVMM_E_DISK', `${source} refers to other files`, {
    hint: 'make it self-contained with: qemu-img convert -O qcow2 IMAGE NEW_IMAGE',
  });
}

async function qemuImage(args: string[], signal?: AbortSignal): Promise<string> {
  try {
    const { stdout } = await run('qemu-img', args, signal === undefined ? {} : { signal });
    return stdout;
  } catch (cause) {
    signal?.throwIfAborted();
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new TsvmmError(
        'TSVMM_E_TOOL_MISSING',
        'qcow2 images are read by qemu-img, which is not installed',
        {
          hint: 'install the package qemu-utils, or convert the image to raw elsewhere',
          cause,
        },
      );
    }
    throw new TsvmmError('TSVMM_E_DISK', 'qemu-img could not read the image', { cause });
  }
}

async function importRaw(source: string, path: string, signal: AbortSignal | undefined): Promise<void> {
  const file = new HostFile(source, { writable: false });
  try {
    await createDisk(path, { size: alignUp(file.size, SECTOR_SIZE) });
    const folder = await DiskFolder.open(path, { writable: true });
    try {
      await copyInto(folder, file, signal);
      folder.close();
    } catch (error) {
      await folder.remove();
      throw error;
    }
  } finally {
    file.close();
  }
}

async function copyInto(folder: DiskFolder, file: HostFile, signal: AbortSignal | undefined): Promise<void> {
  const geometry = describedGeometry(folder.description);
  const { layers } = openLayers(folder.path, folder.description, { writable: true });
  const disk = new LayeredDisk({ geometry, base: undefined, layers, writable: true });
  const buffer = allocateHostBuffer(PIECE_BYTES);
  const segments = new Segments(1);
  const zeros = new Uint8Array(geometry.blockSize);
  const isZero = (at: number) =>
    Buffer.compare(buffer.bytes.subarray(at, at + geometry.blockSize), zeros) === 0;
  try {
    for (let offset = 0; offset < geometry.size; offset += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, geometry.dataEnd - offset);
      buffer.bytes.fill(0, 0, length);
      file.readAt(buffer.bytes.subarray(0, length), offset);
      for (let at = 0; at < length; ) {
        let end = at;
        while (end < length && !isZero(end)) end += geometry.blockSize;
        if (end > at) {
          segments.clear();
          segments.append(hvaOffset(buffer.address, at), Math.min(end, geometry.size - offset) - at);
          succeeded(disk.write(offset + at, segments), 'writing a disk');
        }
        at = end + geometry.blockSize;
      }
      signal?.throwIfAborted();
      await setImmediate();
    }
    succeeded(disk.finish(), 'writing a disk');
  } finally {
    disk.close();
    buffer.free();
  }
}
