import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { TsvmmError } from '../../vmm/errors.ts';
import {
  checksumsSchema,
  type FileReference,
  MANIFEST_FILE,
  MAXIMUM_JSON_BYTES,
  type Manifest,
  type ManifestVm,
  type MemoryChecksums,
  manifestSchema,
  parseWith,
} from './manifest.ts';
import { corrupt } from './struct-codec.ts';
import { decodeVmState, type VmState } from './vm-state.ts';

/** A published snapshot. Everything it hands out has been validated. */
export class SnapshotReader {
  readonly folder: string;
  readonly manifest: Manifest;

  /** Throws TSVMM_E_NOT_FOUND, TSVMM_E_SNAPSHOT_CORRUPT. */
  constructor(folder: string) {
    this.folder = folder;
    this.manifest = parseWith(manifestSchema, readManifest(folder), MANIFEST_FILE);
  }

  vm(name: string): ManifestVm {
    const vm = this.manifest.vms.find(candidate => candidate.name === name);
    if (vm === undefined) throw new TsvmmError('TSVMM_E_VM_NOT_FOUND', `the snapshot has no VM ${name}`);
    return vm;
  }

  state(vm: ManifestVm): VmState {
    return decodeVmState(this.json(vm.state));
  }

  checksums(vm: ManifestVm): MemoryChecksums {
    const { memory } = vm;
    const checksums = parseWith(checksumsSchema, this.json(memory.checksums), memory.checksums.path);
    if (checksums.chunks.length !== Math.ceil(memory.bytes / memory.chunk_bytes)) {
      throw corrupt(memory.checksums.path, 'does not fit the size of the memory');
    }
    return checksums;
  }

  /** The memory file, opened and of the right size. */
  openMemory(vm: ManifestVm): number {
    const fd = openSync(join(this.folder, vm.memory.path), 'r');
    if (fstatSync(fd).size === vm.memory.bytes) return fd;
    closeSync(fd);
    throw corrupt(vm.memory.path, 'has another size than the manifest says');
  }

  /** A whole file, after its size and checksum were found right. */
  file({ path, bytes, crc32: expected }: FileReference): Uint8Array {
    if (bytes > MAXIMUM_JSON_BYTES) throw corrupt(path, 'is larger than such a file can be');
    const fd = openSync(join(this.folder, path), 'r');
    try {
      if (fstatSync(fd).size !== bytes) throw corrupt(path, 'has another size than the manifest says');
      const content = readFileSync(fd);
      if (crc32(content) !== expected) throw corrupt(path, 'has a wrong checksum');
      return content;
    } finally {
      closeSync(fd);
    }
  }

  /** A JSON file, not validated beyond its checksum. */
  json(reference: FileReference): unknown {
    return parseJson(this.file(reference), reference.path);
  }
}

function readManifest(folder: string): unknown {
  let content: Buffer;
  try {
    content = readFileSync(join(folder, MANIFEST_FILE));
  } catch (cause) {
    throw new TsvmmError('TSVMM_E_NOT_FOUND', `there is no snapshot ${basename(folder)}`, {
      hint: 'tsvmm snap ls shows those there are',
      cause,
    });
  }
  return parseJson(content, MANIFEST_FILE);
}

function parseJson(content: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(content));
  } catch {
    throw corrupt(path, 'is not JSON');
  }
}
