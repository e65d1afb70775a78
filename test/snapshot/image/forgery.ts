import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { openMemorySource, readChain } from '../../../snapshot/image/chain.ts';
import { encodeJson } from '../../../snapshot/image/durable.ts';
import { MANIFEST_FILE } from '../../../snapshot/image/manifest.ts';
import { closeMemorySource } from '../../../snapshot/image/memory-source.ts';
import { SnapshotReader } from '../../../snapshot/image/reader.ts';
import { seal } from '../../../snapshot/image/seal.ts';
import { verifySnapshot } from '../../../snapshot/image/verify.ts';
import { loadEagerly } from '../../../snapshot/restore/eager.ts';
import { type ErrorCode, TsvmmError } from '../../../vmm/errors.ts';
import { allocateRam } from '../../../vmm/memory/ram.ts';

// biome-ignore lint/suspicious/noExplicitAny: a forger does not care for types
type Json = any;

/** A copy of a snapshot to be spoilt: unchanged files are shared with the original. */
export class Forgery {
  readonly folder: string;

  constructor(original: string, folder: string) {
    this.folder = folder;
    const copy = (from: string, to: string) => {
      mkdirSync(to, { recursive: true });
      for (const entry of readdirSync(from, { withFileTypes: true })) {
        if (entry.isDirectory()) copy(join(from, entry.name), join(to, entry.name));
        else linkSync(join(from, entry.name), join(to, entry.name));
      }
    };
    copy(original, folder);
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  read(file: string): Buffer {
    return readFileSync(this.path(file));
  }

  replace(file: string, content: Uint8Array | string): void {
    rmSync(this.path(file));
    writeFileSync(this.path(file), content);
  }

  /** Changes the manifest, with a right checksum. */
  editManifest(edit: (manifest: Json) => void): void {
    const { crc32: _, ...manifest } = JSON.parse(this.read(MANIFEST_FILE).toString());
    edit(manifest);
    this.replace(MANIFEST_FILE, encodeJson(seal(manifest)));
  }

  setInManifest(path: string, value: unknown): void {
    this.editManifest(manifest => set(manifest, path, value));
  }

  /** Changes a JSON file of the first VM, and what the manifest says of it. */
  setInPart(reference: 'state' | 'memory.checksums', path: string, value: unknown): void {
    this.editManifest(({ vms: [vm] }) => {
      const file = reference === 'state' ? vm.state : vm.memory.checksums;
      const part = JSON.parse(this.read(file.path).toString());
      set(part, path, value);
      const content = encodeJson(part);
      this.replace(file.path, content);
      Object.assign(file, { bytes: content.length, crc32: crc32(content) });
    });
  }

  /** Puts other bytes in the place of the first VM's memory.map, and says so in the manifest. */
  replaceMap(edit: (map: Buffer) => Uint8Array): void {
    this.editManifest(({ vms: [vm] }) => {
      const { map } = vm.memory;
      const content = edit(this.read(map.path));
      this.replace(map.path, content);
      Object.assign(map, { bytes: content.length, crc32: crc32(content) });
    });
  }

  /** Reads all that a restore reads, into memory of the VM's size. */
  load(): void {
    const reader = new SnapshotReader(this.folder);
    const chain = readChain(reader);
    for (const vm of reader.manifest.vms) {
      reader.state(vm);
      const ram = allocateRam(Math.min(vm.memory_bytes, 2 ** 30));
      try {
        const source = openMemorySource(chain, vm.name);
        loadEagerly(source, ram);
        closeMemorySource(source);
      } finally {
        ram.free();
      }
    }
  }

  /** What the checks say: the code of load()'s error, and whether verify finds anything. */
  async judge(): Promise<{ readonly loaded: ErrorCode | 'ok' | 'uncoded'; readonly verified: boolean }> {
    const findings = await verifySnapshot(this.folder).catch(codeOf);
    const verified = Array.isArray(findings) && findings.every(({ error }) => error === undefined);
    try {
      this.load();
      return { loaded: 'ok', verified };
    } catch (error) {
      return { loaded: codeOf(error), verified };
    }
  }

  discard(): void {
    rmSync(this.folder, { recursive: true });
  }
}

const codeOf = (error: unknown): ErrorCode | 'uncoded' =>
  error instanceof TsvmmError ? error.code : 'uncoded';

/** Puts `value` at "a.b.0"; undefined removes what is there. */
function set(json: Json, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop() as string;
  const parent = keys.reduce((at, key) => at[key], json);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
}
