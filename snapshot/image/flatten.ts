import { closeSync, fsyncSync, ftruncateSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { allocateNative } from '../../vmm/memory/native.ts';
import { ChunkWriter } from '../saver/chunk-writer.ts';
import { openMemorySource, readChain, type SnapshotChain } from './chain.ts';
import { ChunkReader } from './chunk-reader.ts';
import { encodeJson, syncDirectory, writeDurably } from './durable.ts';
import { lockSnapshot } from './lock.ts';
import { MANIFEST_FILE, type ManifestVm } from './manifest.ts';
import { encodeMemoryMap } from './memory-map.ts';
import { closeMemorySource, type MemorySource } from './memory-source.ts';
import { SnapshotReader } from './reader.ts';
import { seal } from './seal.ts';

const NEW_MANIFEST = `${MANIFEST_FILE}.new`;

/**
 * Makes a snapshot stand alone: all that it has from its parents is written into it. Its meaning, and so its children, stay
 * as they are; the parents may then be removed. The manifest is replaced by a rename, so that the snapshot is whole at any
 * instant. Answers the bytes written, undefined for one that has no parent. Throws TSVMM_E_SNAPSHOT_CORRUPT, TSVMM_E_DISK,
 * TSVMM_E_CONFLICT, TSVMM_E_NOT_FOUND, with nothing changed.
 */
export async function flattenSnapshot(folder: string): Promise<number | undefined> {
  const lock = lockSnapshot(folder, 'exclusive');
  try {
    const reader = new SnapshotReader(folder);
    return reader.manifest.parent === null ? undefined : flatten(readChain(reader));
  } finally {
    lock.release();
  }
}

function flatten(chain: SnapshotChain): number {
  const [{ folder, manifest }] = chain;
  const made: string[] = [];
  let bytes = 0;
  try {
    const vms = manifest.vms.map(vm => {
      const written = flattenMemory(chain, vm, made);
      bytes += written.bytes;
      syncDirectory(join(folder, 'vms', vm.name));
      return { ...vm, memory: written.memory };
    });
    rmSync(join(folder, NEW_MANIFEST), { force: true });
    made.push(NEW_MANIFEST);
    writeDurably(folder, NEW_MANIFEST, encodeJson(seal({ ...manifest, parent: null, vms })));
    renameSync(join(folder, NEW_MANIFEST), join(folder, MANIFEST_FILE));
  } catch (error) {
    for (const path of made) rmSync(join(folder, path), { force: true });
    throw error;
  }
  syncDirectory(folder);
  for (const { memory } of manifest.vms)
    for (const path of [memory.path, memory.map.path]) rmSync(join(folder, path), { force: true });
  return bytes;
}

/** Writes new files beside the old ones; their paths are noted in `made`. */
function flattenMemory(
  chain: SnapshotChain,
  vm: ManifestVm,
  made: string[],
): { memory: ManifestVm['memory']; bytes: number } {
  const [{ folder }] = chain;
  const { memory } = vm;
  const path = freshPath(`vms/${vm.name}/memory`, 'img', memory.path);
  const mapPath = freshPath(`vms/${vm.name}/memory`, 'map', memory.map.path);
  made.push(path, mapPath);
  // Left over from one that was killed.
  for (const left of [path, mapPath]) rmSync(join(folder, left), { force: true });

  const source = openMemorySource(chain, vm.name);
  const fd = openSync(join(folder, path), 'wx', 0o600);
  const writer = new ChunkWriter({ fd, compression: memory.compression }, source.chunkSize, source.length);
  try {
    copyChunks(source, writer);
    const file_bytes = writer.end ?? source.length;
    ftruncateSync(fd, file_bytes);
    fsyncSync(fd);
    const map = writeDurably(
      folder,
      mapPath,
      encodeMemoryMap({ states: writer.map.bytes, frames: writer.frames }),
    );
    return { memory: { ...memory, path, file_bytes, map }, bytes: writer.bytesWritten };
  } finally {
    writer.free();
    closeSync(fd);
    closeMemorySource(source);
  }
}

function copyChunks(source: MemorySource, writer: ChunkWriter): void {
  const reader = new ChunkReader(source);
  const buffer = allocateNative(source.chunkSize, { huge: true });
  try {
    for (const chunk of source.chunks.keys()) {
      reader.read(chunk, buffer.address);
      writer.write(chunk, buffer.address, reader.chunkLength(chunk), false);
    }
  } finally {
    buffer.free();
    reader.free();
  }
}

/** A path that is not the one in use. */
function freshPath(stem: string, extension: string, used: string): string {
  const path = [`${stem}.flat.${extension}`, `${stem}.flat2.${extension}`].find(
    candidate => candidate !== used,
  );
  if (path === undefined) throw new TsvmmError('TSVMM_E_INTERNAL', 'two paths are one');
  return path;
}
