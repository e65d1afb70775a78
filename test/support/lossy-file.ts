import { type BlockFile, NOT_CACHED } from '../../snapshot/disk/block-file.ts';
import type { IoVector } from '../../snapshot/disk/io-vector.ts';
import { backend } from '../../vmm/ffi/index.ts';
import type { Random } from './random.ts';

const SECTOR = 512;
const PUNCHED = new Uint8Array(SECTOR);

/** Sectors of a file; those missing are zeros. Contents are never changed in place. */
export type Sectors = Map<number, Uint8Array>;

/** What happened to files, in order; shared by all files of one machine. */
export type FileEvent =
  | { readonly kind: 'sectors'; readonly file: LossyFile; readonly changes: Sectors }
  | { readonly kind: 'sync'; readonly file: LossyFile }
  /** Put in by the test. */
  | { readonly kind: 'mark'; readonly mark: unknown };

/**
 * A file on a machine that may lose power: it logs what is written and synced, from which the states follow that
 * a disk may have after a power failure. Sectors are written whole; until a sync of the file is finished, each one
 * may have reached the disk or not, in any version since the last sync, whatever the others did.
 */
export class LossyFile implements BlockFile {
  readonly path: string;
  readonly size: number;
  readonly events: FileEvent[];
  /** As on the disk when the log began. */
  readonly initial: Sectors;
  /** As programs see it. */
  private readonly cached: Sectors;
  /** A sync that does nothing, for tests of the test. */
  liesAboutSync = false;
  /** When set, reads that may not block say at random that they would. */
  random: Random | undefined;

  constructor(path: string, size: number, events: FileEvent[], initial: Sectors = new Map()) {
    this.path = path;
    this.size = size;
    this.events = events;
    this.initial = initial;
    this.cached = new Map(initial);
  }

  read(vector: IoVector, offset: number, mayBlock: boolean): number {
    if (!mayBlock && this.random?.chance(20) === true) return NOT_CACHED;
    let at = offset;
    vector.forEach((address, length) => {
      this.readAt(new Uint8Array(backend.view(address, length)), at);
      at += length;
    });
    return 0;
  }

  write(vector: IoVector, offset: number): number {
    const all = new Uint8Array(vector.total);
    let at = 0;
    vector.forEach((address, length) => {
      all.set(new Uint8Array(backend.view(address, length)), at);
      at += length;
    });
    return this.writeAt(all, offset);
  }

  sync(): number {
    if (!this.liesAboutSync) this.events.push({ kind: 'sync', file: this });
    return 0;
  }

  punch(offset: number, length: number): void {
    const changes: Sectors = new Map();
    for (let at = offset; at < offset + length; at += SECTOR) changes.set(at / SECTOR, PUNCHED);
    this.apply(changes);
  }

  willNeed(): void {}

  readAt(bytes: Uint8Array, offset: number): number {
    const end = Math.min(offset + bytes.length, this.size);
    for (let at = offset; at < end; ) {
      const within = at % SECTOR;
      const part = Math.min(SECTOR - within, end - at);
      const sector = this.cached.get(Math.floor(at / SECTOR)) ?? PUNCHED;
      bytes.set(sector.subarray(within, within + part), at - offset);
      at += part;
    }
    return Math.max(0, end - offset);
  }

  writeAt(bytes: Uint8Array, offset: number): number {
    const changes: Sectors = new Map();
    for (let at = 0; at < bytes.length; ) {
      const sector = Math.floor((offset + at) / SECTOR);
      const within = (offset + at) % SECTOR;
      const part = Math.min(SECTOR - within, bytes.length - at);
      const content = (this.cached.get(sector) ?? PUNCHED).slice();
      content.set(bytes.subarray(at, at + part), within);
      changes.set(sector, content);
      at += part;
    }
    this.apply(changes);
    return 0;
  }

  close(): void {}

  private apply(changes: Sectors): void {
    for (const [sector, content] of changes) this.cached.set(sector, content);
    this.events.push({ kind: 'sectors', file: this, changes });
  }
}

/** For each sector of `file`, the versions of which one is on the disk when the power fails after `events`. */
export function possibleSectors(file: LossyFile, events: readonly FileEvent[]): Map<number, Uint8Array[]> {
  const versions = new Map<number, Uint8Array[]>();
  for (const [sector, content] of file.initial) versions.set(sector, [content]);
  for (const event of events) {
    if (event.kind === 'mark' || event.file !== file) continue;
    if (event.kind === 'sync') {
      for (const [sector, list] of versions) versions.set(sector, list.slice(-1));
      continue;
    }
    for (const [sector, content] of event.changes) {
      const list = versions.get(sector) ?? [PUNCHED];
      versions.set(sector, [...list, content]);
    }
  }
  return versions;
}
