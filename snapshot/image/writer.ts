import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import type { SaveResult } from '../saver/saver.ts';
import type { Compression } from './compression-names.ts';
import { encodeJson, syncDirectory, writeDurably } from './durable.ts';
import { type FileReference, MANIFEST_FILE, type Manifest, type ManifestVm } from './manifest.ts';
import { encodeMemoryMap } from './memory-map.ts';
import { seal } from './seal.ts';
import type { VmStateJson } from './vm-state.ts';

/**
 * Writes a snapshot into a folder that is invisible (its name begins with a dot) until publish() renames it: a snapshot
 * either exists whole or not at all.
 */
export class SnapshotWriter {
  /** Where the snapshot's files are until publish(). */
  readonly folder: string;
  private readonly target: string;
  private readonly memoryFds = new Map<string, number>();

  /** `target` is the folder that the snapshot will be. Throws TSVMM_E_CONFLICT when it exists, TSVMM_E_DISK. */
  constructor(target: string) {
    this.target = target;
    if (existsSync(target)) {
      throw new TsvmmError('TSVMM_E_CONFLICT', `there is a snapshot ${basename(target)} already`, {
        hint: 'choose another --name, or remove it with tsvmm snap rm',
      });
    }
    this.folder = join(dirname(target), `.${basename(target)}.${process.pid}.partial`);
    try {
      rmSync(this.folder, { recursive: true, force: true });
      mkdirSync(join(this.folder, 'vms'), { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new TsvmmError('TSVMM_E_DISK', `cannot make ${this.folder}`, {
        hint: 'check the free space and the permissions of $TSVMM_HOME/snapshots',
        cause,
      });
    }
  }

  /** Opens a VM's memory file, `length` bytes of nothing, or an empty one to be packed. Before the pause. */
  openMemory(vm: string, length: number, compression: Compression): number {
    mkdirSync(join(this.folder, 'vms', vm), { recursive: true, mode: 0o700 });
    const fd = openSync(join(this.folder, memoryPath(vm)), 'wx+', 0o600);
    this.memoryFds.set(vm, fd);
    if (compression === 'none') ftruncateSync(fd, length);
    return fd;
  }

  /** Cuts off what a packed file has behind its last chunk; its new length. Before the memory is synced. */
  trimMemory(vm: string, { fileLength }: SaveResult): void {
    if (fileLength !== undefined) ftruncateSync(this.memoryFd(vm), fileLength);
  }

  /** Writes the state, and what is known of the memory, which is on the disk already; answers the VM's part of the manifest. */
  finishVm(vm: FinishedVm, state: VmStateJson, saved: SaveResult): Omit<ManifestVm, 'disks' | 'ports'> {
    const { name, memory_bytes, vcpus, macs, chunk_bytes, compression } = vm;
    closeSync(this.memoryFd(name));
    this.memoryFds.delete(name);
    const write = (file: string, content: Uint8Array) =>
      writeDurably(this.folder, `vms/${name}/${file}`, content);
    const chunks = saved.checksums.map((crc, chunk) => (saved.zeroChunks[chunk] ? null : crc));
    return {
      name,
      memory_bytes,
      vcpus,
      macs: [...macs],
      state: write('state.json', encodeJson(state)),
      memory: {
        path: memoryPath(name),
        bytes: memory_bytes,
        file_bytes: saved.fileLength ?? memory_bytes,
        chunk_bytes,
        compression,
        map: write('memory.map', encodeMemoryMap(saved)),
        checksums: write('memory.json', encodeJson({ chunks, working_set: saved.workingSet })),
      },
    };
  }

  /** Adds a file of the snapshot as a whole. */
  writeFile(path: string, content: Uint8Array): FileReference {
    return writeDurably(this.folder, path, content);
  }

  /** Makes the snapshot exist: the manifest last, then the name. */
  publish(manifest: Manifest): void {
    writeDurably(this.folder, MANIFEST_FILE, encodeJson(seal(manifest)));
    for (const { name } of manifest.vms) syncDirectory(join(this.folder, 'vms', name));
    syncDirectory(join(this.folder, 'vms'));
    syncDirectory(this.folder);
    renameSync(this.folder, this.target);
    syncDirectory(dirname(this.target));
  }

  private memoryFd(vm: string): number {
    const fd = this.memoryFds.get(vm);
    if (fd === undefined) throw new TsvmmError('TSVMM_E_INTERNAL', `the memory of ${vm} was never opened`);
    return fd;
  }

  /** Gives all space back. Idempotent; harmless after publish(). */
  discard(): void {
    for (const fd of this.memoryFds.values()) closeSync(fd);
    this.memoryFds.clear();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface FinishedVm {
  readonly name: string;
  readonly memory_bytes: number;
  readonly vcpus: number;
  /** Of its NICs, as aa:bb:cc:dd:ee:ff. */
  readonly macs: readonly string[];
  readonly chunk_bytes: number;
  readonly compression: Compression;
}

const memoryPath = (vm: string): string => `vms/${vm}/memory.img`;
