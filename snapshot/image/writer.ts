import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import type { SaveResult } from '../saver/saver.ts';
import { encodeJson, syncDirectory, writeDurably } from './durable.ts';
import { type FileReference, MANIFEST_FILE, type Manifest, type ManifestVm } from './manifest.ts';
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

  /** Opens a VM's memory file, `length` bytes of nothing. Before the pause. */
  openMemory(vm: string, length: number): number {
    mkdirSync(join(this.folder, 'vms', vm), { recursive: true, mode: 0o700 });
    const fd = openSync(join(this.folder, memoryPath(vm)), 'wx+', 0o600);
    this.memoryFds.set(vm, fd);
    ftruncateSync(fd, length);
    return fd;
  }

  /** Writes the state, and the checksums of the memory, which is on the disk already; answers the VM's part of the manifest. */
  finishVm(
    vm: {
      readonly name: string;
      readonly memory_bytes: number;
      readonly vcpus: number;
      readonly chunk_bytes: number;
    },
    state: VmStateJson,
    saved: SaveResult,
  ): Omit<ManifestVm, 'disks' | 'ports'> {
    const fd = this.memoryFds.get(vm.name);
    if (fd === undefined)
      throw new TsvmmError('TSVMM_E_INTERNAL', `the memory of ${vm.name} was never opened`);
    closeSync(fd);
    this.memoryFds.delete(vm.name);
    const chunks = saved.checksums.map((crc, chunk) => (saved.zeroChunks[chunk] ? null : crc));
    const checksums = writeDurably(
      this.folder,
      `vms/${vm.name}/memory.json`,
      encodeJson({ chunks, working_set: saved.workingSet }),
    );
    return {
      name: vm.name,
      memory_bytes: vm.memory_bytes,
      vcpus: vm.vcpus,
      state: writeDurably(this.folder, `vms/${vm.name}/state.json`, encodeJson(state)),
      memory: { path: memoryPath(vm.name), bytes: vm.memory_bytes, chunk_bytes: vm.chunk_bytes, checksums },
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

  /** Gives all space back. Idempotent; harmless after publish(). */
  discard(): void {
    for (const fd of this.memoryFds.values()) closeSync(fd);
    this.memoryFds.clear();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const memoryPath = (vm: string): string => `vms/${vm}/memory.img`;
