/**
 * Loses power at every moment the disk's code leaves open: all its writes, syncs and punches are logged, a moment is
 * chosen, and each sector that was not synced by then gets one of its versions. What the disk then reads as must be,
 * sector by sector, what was flushed or something written to that place since; and so on, from there.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { newLayerId } from '../../../snapshot/disk/disk-folder.ts';
import { FreezeWord } from '../../../snapshot/disk/freeze-word.ts';
import { diskGeometry } from '../../../snapshot/disk/geometry.ts';
import { Layer } from '../../../snapshot/disk/layer.ts';
import type { LayerId } from '../../../snapshot/disk/layer-format.ts';
import {
  BLOCKS_PER_PAGE,
  LayerState,
  layerFileSize,
  NO_BASE,
  NO_LAYER,
  newLayerPieces,
} from '../../../snapshot/disk/layer-format.ts';
import { LayeredDisk } from '../../../snapshot/disk/layered-disk.ts';
import { DiskUser } from '../../support/disk-user.ts';
import { type FileEvent, LossyFile, possibleSectors, type Sectors } from '../../support/lossy-file.ts';
import { Random } from '../../support/random.ts';

const SECTOR = 512;
const BLOCK = 4096;
/** Two pages of map; only the disk's two ends are used, so as to touch both pages. */
const geometry = diskGeometry((BLOCKS_PER_PAGE + 6) * BLOCK);
const usedBlocks = [
  0,
  1,
  2,
  3,
  4,
  BLOCKS_PER_PAGE - 1,
  BLOCKS_PER_PAGE,
  BLOCKS_PER_PAGE + 1,
  BLOCKS_PER_PAGE + 5,
];
const usedSectors = usedBlocks.flatMap(block => Array.from({ length: 8 }, (_, i) => 8 * block + i));

/** What the test writes into a sector: where it belongs, and which write it is; 0 for zeros. */
type Version = number;
type Mark = { readonly issued: ReadonlyMap<number, Version> } | 'flushed';

function sectorContent(sector: number, version: Version): Uint8Array {
  const content = new Uint8Array(SECTOR);
  if (version !== 0) new Uint32Array(content.buffer).fill(version).set([sector]);
  return content;
}

/** The version that `content` is of `sector`, or undefined if it is none, or torn. */
function versionOf(sector: number, content: Uint8Array): Version | undefined {
  const version = new DataView(content.buffer, content.byteOffset).getUint32(4, true);
  return Buffer.compare(content, sectorContent(sector, version)) === 0 ? version : undefined;
}

/** A disk on a machine without file system: its layer files, from the bottom up, all named for good. */
class Machine {
  readonly events: FileEvent[] = [];
  readonly files: LossyFile[] = [];
  readonly disk: LayeredDisk;
  readonly user: DiskUser;
  private readonly random: Random;
  private readonly freezeWord = new FreezeWord();
  private readonly ids: LayerId[] = [];
  private nextVersion: Version;
  private top!: Layer;
  private readonly steps: (() => void)[];

  constructor(random: Random, contents: readonly Sectors[], nextVersion: Version) {
    this.random = random;
    this.nextVersion = nextVersion;
    const layers = contents.map(content => this.addLayer(content));
    for (const layer of layers) this.ids.push(layer.header.id);
    this.disk = new LayeredDisk({
      geometry,
      base: undefined,
      layers,
      writable: true,
      freezeWord: this.freezeWord,
    });
    this.user = new DiskUser(this.disk, 64 * 1024);
    const top = layers.at(-1) as Layer;
    // As the disk's thread does when it opens a disk.
    assert.is(this.disk.seal(), 0);
    if (top.state !== LayerState.FROZEN) assert.is(top.startWriting(), 0);
    const writeBlock = () => this.write(random.pick(usedBlocks) * 8, 8);
    const flush = () => this.flush();
    this.steps = [
      writeBlock,
      writeBlock,
      writeBlock,
      writeBlock,
      () => this.write(random.pick(usedSectors), 1),
      () => this.zero(random.pick(usedSectors), false),
      () => this.zero(random.pick(usedBlocks) * 8, true),
      flush,
      flush,
      () => this.freeze(),
      () => assert.is(this.disk.seal(), 0),
      () => this.finish(),
    ];
  }

  static newLayer(parent: LayerId): Sectors {
    const header = { id: newLayerId(), parent, base: NO_BASE, geometry };
    const content: Sectors = new Map();
    for (const { offset, bytes } of newLayerPieces(header)) {
      for (let at = 0; at < bytes.length; at += SECTOR)
        content.set((offset + at) / SECTOR, bytes.slice(at, at + SECTOR));
    }
    return content;
  }

  step(): void {
    this.random.pick(this.steps)();
  }

  free(): void {
    this.user.free();
    this.disk.close();
  }

  get versions(): Version {
    return this.nextVersion;
  }

  private flush(): void {
    this.user.flush();
    this.mark('flushed');
  }

  /** As on closing and opening again. */
  private finish(): void {
    assert.is(this.disk.finish(), 0);
    this.mark('flushed');
    assert.is(this.top.startWriting(), 0);
  }

  private write(sector: number, count: number): void {
    const version = this.nextVersion++;
    const data = new Uint8Array(count * SECTOR);
    const issued = new Map<number, Version>();
    for (let i = 0; i < count; i++) {
      data.set(sectorContent(sector + i, version), i * SECTOR);
      issued.set(sector + i, version);
    }
    this.mark({ issued });
    this.user.write(sector * SECTOR, data);
  }

  private zero(sector: number, discard: boolean): void {
    const count = discard ? 8 : 1 + this.random.below(8 - (sector % 8));
    this.mark({ issued: new Map(Array.from({ length: count }, (_, i) => [sector + i, 0])) });
    if (discard) this.user.discard(sector * SECTOR, count * SECTOR);
    else this.user.writeZeroes(sector * SECTOR, count * SECTOR);
  }

  private freeze(): void {
    if (this.files.length >= 5) return;
    const content = Machine.newLayer(this.ids.at(-1) ?? NO_LAYER);
    const layer = this.addLayer(content);
    this.ids.push(layer.header.id);
    this.disk.prepare(layer);
    this.freezeWord.freeze();
    this.disk.enter();
  }

  private addLayer(content: Sectors): Layer {
    const file = new LossyFile(`layer ${this.files.length}`, layerFileSize(geometry), this.events, content);
    file.random = this.random;
    this.files.push(file);
    this.top = Layer.open(file);
    return this.top;
  }

  private mark(mark: Mark): void {
    this.events.push({ kind: 'mark', mark });
  }
}

/** For each used sector, the versions that it may have after `events`, having had `before` on stable storage. */
function allowedVersions(
  before: ReadonlyMap<number, Version>,
  events: readonly FileEvent[],
): Map<number, Set<Version>> {
  const history = new Map(usedSectors.map(sector => [sector, [before.get(sector) ?? 0]]));
  for (const event of events) {
    if (event.kind !== 'mark') continue;
    const mark = event.mark as Mark;
    if (mark === 'flushed') for (const [sector, list] of history) history.set(sector, list.slice(-1));
    else for (const [sector, version] of mark.issued) history.get(sector)?.push(version);
  }
  return new Map([...history].map(([sector, list]) => [sector, new Set(list)]));
}

/** Contents of all files after a power failure that follows `events`: `choose` picks among a sector's versions. */
function loseSome(
  files: readonly LossyFile[],
  events: readonly FileEvent[],
  choose: (count: number) => number,
): Sectors[] {
  return files.map(file => {
    const content: Sectors = new Map();
    for (const [sector, versions] of possibleSectors(file, events))
      content.set(sector, versions[choose(versions.length)] as Uint8Array);
    return content;
  });
}

/** Reads the used sectors; throws when one is not what it may be. */
function observe(
  user: DiskUser,
  allowed: ReadonlyMap<number, ReadonlySet<Version>>,
  what: string,
): Map<number, Version> {
  const observed = new Map<number, Version>();
  for (const block of usedBlocks) {
    const data = user.read(block * BLOCK, BLOCK);
    for (let i = 0; i < 8; i++) {
      const sector = 8 * block + i;
      const version = versionOf(sector, data.subarray(i * SECTOR, (i + 1) * SECTOR));
      const options = [...(allowed.get(sector) ?? [])];
      if (version === undefined || !options.includes(version))
        throw new Error(`${what}: sector ${sector} is version ${version}, not one of ${options}`);
      observed.set(sector, version);
    }
  }
  return observed;
}

/** Any moment, but often one right before a sync, when most is under way. */
function chooseMoment(events: readonly FileEvent[], random: Random): number {
  const syncs = events.flatMap((event, index) => (event.kind === 'sync' ? [index] : []));
  return syncs.length > 0 && random.chance(60) ? random.pick(syncs) : random.below(events.length + 1);
}

/** One disk through many power failures. */
function run(seed: number, failures: number, sabotage: (file: LossyFile) => void = () => {}): void {
  const random = new Random(seed);
  let contents = [Machine.newLayer(NO_LAYER)];
  let before = new Map<number, Version>();
  let nextVersion = 1;
  for (let failure = 0; failure < failures; failure++) {
    const machine = new Machine(random, contents, nextVersion);
    for (let steps = 1 + random.below(25); steps > 0; steps--) {
      machine.files.forEach(sabotage);
      machine.step();
    }
    const events = machine.events.slice(0, chooseMoment(machine.events, random));
    // Mostly old or mostly new, or anything: the disk's cache has its own mind.
    const bias = random.below(101);
    const choose = (count: number) => (random.chance(bias) ? count - 1 : random.below(count));
    contents = loseSome(machine.files, events, choose);
    nextVersion = machine.versions;
    machine.free();

    if (random.chance(30)) {
      // The power fails again while the disk is being opened, before anybody has seen what it reads as.
      const opening = new Machine(random, contents, nextVersion);
      const opened = opening.events.slice(0, chooseMoment(opening.events, random));
      contents = loseSome(opening.files, opened, choose);
      opening.free();
    }
    const restarted = new Machine(random, contents, nextVersion);
    before = observe(restarted.user, allowedVersions(before, events), `seed ${seed}, failure ${failure}`);
    contents = loseSome(restarted.files, restarted.events, choose);
    restarted.free();
  }
}

const test = suite('power loss');

test('whatever was flushed is there, and nothing is anywhere that was not written there', () => {
  // Nightly runs are given time instead of a number.
  const end_ms = performance.now() + 1000 * Number(process.env.TSVMM_FUZZ_SECONDS ?? 0);
  for (let seed = 1; seed <= 80 || performance.now() < end_ms; seed++) run(seed, 12);
});

test('a disk whose data is not synced before its map is found out', () => {
  const sabotage = (file: LossyFile) => {
    // Data syncs are those that no map page precedes: leave out every sync that follows a write below dataEnd.
    const last = file.events.at(-1);
    const isData =
      last?.kind === 'sectors' && [...last.changes.keys()].every(s => s * SECTOR < geometry.dataEnd);
    file.liesAboutSync = isData;
  };
  assert.throws(() => {
    for (let seed = 1; seed <= 60; seed++) run(seed, 12, sabotage);
  }, /sector \d+ is version/);
});

test('every moment of a small flush, with every choice of what reached the disk', () => {
  const random = new Random(7);
  const machine = new Machine(random, [Machine.newLayer(NO_LAYER)], 1);
  const [file] = machine.files as [LossyFile];
  file.random = undefined;
  const write = (block: number, version: Version) => {
    const data = new Uint8Array(BLOCK);
    const issued = new Map<number, Version>();
    for (let i = 0; i < 8; i++) {
      data.set(sectorContent(8 * block + i, version), i * SECTOR);
      issued.set(8 * block + i, version);
    }
    machine.events.push({ kind: 'mark', mark: { issued } satisfies Mark });
    machine.user.write(block * BLOCK, data);
  };
  const flush = () => {
    machine.user.flush();
    machine.events.push({ kind: 'mark', mark: 'flushed' satisfies Mark });
  };
  write(0, 1);
  flush();
  write(0, 2);
  write(1, 3);
  flush();

  let states = 0;
  for (let moment = 0; moment <= machine.events.length; moment++) {
    const events = machine.events.slice(0, moment);
    const open = machine.files.flatMap(file =>
      [...possibleSectors(file, events).values()].filter(v => v.length > 1),
    );
    // At most one write is under way here that is larger than a block: 2^16 choices; take all of 2^10, or that many.
    const combinations = Math.min(2 ** open.length, 1024);
    for (let bits = 0; bits < combinations; bits++) {
      const pattern = 2 ** open.length <= 1024 ? bits : random.below(2 ** 30);
      let next = 0;
      const choose = (count: number) => (count > 1 && ((pattern >>> next++) & 1) === 1 ? count - 1 : 0);
      const contents = loseSome(machine.files, events, choose);
      const restarted = new Machine(random, contents, 100);
      observe(restarted.user, allowedVersions(new Map(), events), `moment ${moment}, choice ${pattern}`);
      restarted.free();
      states++;
    }
  }
  assert.ok(states > 1000, `${states} states`);
  machine.free();
});

test.run();
