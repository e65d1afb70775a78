import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { TsvmmError } from '../../vmm/errors.ts';
import {
  checksumsSchema,
  type FileReference,
  MANIFEST_FILE,
  MAXIMUM_FILE_BYTES,
  type Manifest,
  type ManifestVm,
  type MemoryChecksums,
  manifestSchema,
  parseWith,
} from './manifest.ts';
import { decodeMemoryMap } from './memory-map.ts';
import type { MemoryImage } from './memory-source.ts';
import { unseal } from './seal.ts';
import { corrupt } from './struct-codec.ts';
import { decodeVmState, type VmState } from './vm-state.ts';

/** A published snapshot. Everything it hands out has been validated. */
export class SnapshotReader {
  readonly folder: string;
  readonly manifest: Manifest;

  /** Throws TSVMM_E_NOT_FOUND, TSVMM_E_SNAPSHOT_CORRUPT. */
  constructor(folder: string) {
    this.folder = folder;
    this.manifest = parseWith(manifestSchema, unseal(this.readManifest()), MANIFEST_FILE);
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

  /** The VM's own image of its memory; the caller closes its file, which has the right size. */
  openMemory({ memory }: ManifestVm): MemoryImage {
    const inherits = this.manifest.parent !== null;
    const { states, frames } = decodeMemoryMap(this.file(memory.map), memory, { inherits });
    return {
      fd: this.open(memory.path, memory.file_bytes),
      name: `${basename(this.folder)}/${memory.path}`,
      compression: memory.compression,
      states: states.bytes,
      frames: frames?.bytes ?? new Uint8Array(0),
    };
  }

  /** A whole file, after its size and checksum were found right. */
  file({ path, bytes, crc32: expected }: FileReference): Uint8Array {
    if (bytes > MAXIMUM_FILE_BYTES) throw corrupt(path, 'is larger than such a file can be');
    const content = readAndClose(this.open(path, bytes));
    if (crc32(content) !== expected) throw corrupt(path, 'has a wrong checksum');
    return content;
  }

  /** A JSON file, not validated beyond its checksum. */
  json(reference: FileReference): unknown {
    return parseJson(this.file(reference), reference.path);
  }

  private readManifest(): unknown {
    if (!existsSync(join(this.folder, MANIFEST_FILE))) {
      throw new TsvmmError('TSVMM_E_NOT_FOUND', `there is no snapshot ${basename(this.folder)}`, {
        hint: 'tsvmm snap ls shows those there are',
      });
    }
    return parseJson(readAndClose(this.open(MANIFEST_FILE)), MANIFEST_FILE);
  }

  /** Opens a plain file inside of the folder, of the size given: no link leads out, no pipe makes us wait. */
  private open(path: string, bytes?: number): number {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    const file = join(this.folder, path);
    let fd: number;
    try {
      if (realpathSync(file) !== join(realpathSync(this.folder), path)) throw corrupt(path, 'is a link');
      fd = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (cause) {
      if (cause instanceof TsvmmError) throw cause;
      throw corrupt(path, 'cannot be opened', cause);
    }
    const status = fstatSync(fd);
    const limit = bytes ?? MAXIMUM_FILE_BYTES;
    if (status.isFile() && (bytes === undefined ? status.size <= limit : status.size === limit)) return fd;
    closeSync(fd);
    throw corrupt(path, status.isFile() ? 'has another size than it can have' : 'is no file');
  }
}

function readAndClose(fd: number): Uint8Array {
  try {
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

function parseJson(content: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(content));
  } catch {
    throw corrupt(path, 'is not JSON');
  }
}
