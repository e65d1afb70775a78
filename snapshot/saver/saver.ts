import { TsvmmError } from '../../vmm/errors.ts';
import { hvaOffset, PAGE_SIZE } from '../../vmm/memory/address.ts';
import { CopyOnWrite } from '../../vmm/memory/copy-on-write.ts';
import { CowCounter, type CowState } from '../../vmm/memory/cow-state.ts';
import { allocateNative, type NativeMemory } from '../../vmm/memory/native.ts';
import type { RamDescriptor } from '../../vmm/memory/ram.ts';
import { isEqual } from '../image/compare-pages.ts';
import type { ObservedWrites } from '../transient/hot-pages.ts';
import { ChunkWriter, type ImageTarget } from './chunk-writer.ts';

const BELL_WAIT_MS = 20;
const WORKING_SET_CHUNKS = 4096;

export interface SaveRequest {
  readonly ram: RamDescriptor;
  readonly target: ImageTarget;
}

export interface SaveResult {
  /** CRC-32 of each chunk; 0 for one that is all zero. */
  readonly checksums: readonly number[];
  readonly zeroChunks: readonly boolean[];
  /** Chunks that were copied because somebody wrote them, in that order, at most WORKING_SET_CHUNKS. */
  readonly workingSet: readonly number[];
  /** What of the guest's writes can be seen from here. */
  readonly writes: ObservedWrites;
  readonly pages_zero: number;
  /** Pages that are as the parent has them. */
  readonly pages_inherited: number;
  readonly bytesWritten: number;
  /** See PageMap and FrameTable. */
  readonly states: Uint8Array;
  readonly frames: Uint8Array;
  /** Length that the file is to have, if not that of RAM. */
  readonly fileLength: number | undefined;
}

/**
 * The active saver: writes every chunk of RAM that is still protected straight from guest memory, then releases it,
 * and in between the copies that writers made. Copies go first, as guests may be waiting for their buffers.
 * Returns when all chunks of the epoch are in the file. Throws TSVMM_E_DISK, leaving the epoch armed, and
 * TSVMM_E_INTERRUPTED when the epoch was ended meanwhile.
 */
export function saveMemory({ ram, target }: SaveRequest): SaveResult {
  const cow = new CopyOnWrite(ram.cow, ram.address, ram.length);
  const writer = new ChunkWriter(target, cow.state.chunkSize, ram.length);
  try {
    return saveWith(writer, cow);
  } finally {
    writer.free();
  }
}

function saveWith(writer: ChunkWriter, cow: CopyOnWrite): SaveResult {
  const { state } = cow;
  const { chunkSize } = state;
  /** Chunks of which the active save has written something. */
  const touched = new Uint8Array(cow.chunkCount);

  const workingSet: number[] = [];
  /** The slot in which the next copy will be found. */
  let next = 0;

  function writeCopies(): void {
    for (let chunk = state.slotChunk(next); chunk >= 0; chunk = state.slotChunk(next)) {
      writer.write(chunk, state.slotAddress(next), cow.chunkLength(chunk), touched[chunk] === 1);
      state.freeSlot(next);
      next = (next + 1) % state.slotCount;
      if (workingSet.length < WORKING_SET_CHUNKS) workingSet.push(chunk);
    }
  }

  /** False when somebody has it already. */
  function saveChunk(chunk: number): boolean {
    requireArmed(state);
    writeCopies();
    if (!state.claimForSave(chunk)) return false;
    if (cow.hasEagerPages(chunk)) saveByCopy(chunk);
    else {
      touched[chunk] = 1;
      writer.write(chunk, cow.chunkAddress(chunk), cow.chunkLength(chunk), false);
      // Taken away by a writer meanwhile: what was written may be torn, and its copy will be written over it.
      finish(chunk);
    }
    return true;
  }

  /** The chunk is saved, unless a writer took it away. */
  function finish(chunk: number): boolean {
    if (!state.finishSave(chunk)) return false;
    state.count(CowCounter.chunks_active, 1);
    cow.unprotect(chunk);
    state.release(chunk);
    return true;
  }

  /** As a writer would: of this chunk some pages have gone on already. */
  function saveByCopy(chunk: number): void {
    copy ??= allocateNative(chunkSize, { huge: true });
    cow.copy(chunk, copy.address);
    if (finish(chunk)) writer.write(chunk, copy.address, cow.chunkLength(chunk), false);
  }

  function saveAll(): void {
    const { eagerPages } = state;
    // Before anybody has to.
    for (let i = 0; i < eagerPages.count; i++) {
      const page = eagerPages.page(i);
      // Negative: a writer is about to fill it in.
      if (page >= 0) saveChunk(cow.chunkOf(page));
    }
    for (;;) {
      requireArmed(state);
      const { bell } = state;
      // Looked at first: with nothing left, every copy has been published before.
      const isLast = state.remaining === 0;
      writeCopies();
      if (isLast) break;
      // Again and again, as a writer that only took a part of a chunk may have had it when we came by.
      let saved = false;
      for (let chunk = 0; chunk < chunkCount; chunk++) if (saveChunk(chunk)) saved = true;
      if (!saved) state.waitForWriters(bell, BELL_WAIT_MS);
    }
  }

  const { chunkCount } = cow;
  let copy: NativeMemory | undefined;
  try {
    saveAll();
  } finally {
    copy?.free();
  }
  return resultOf(writer, workingSet, { first: state.firstWrites, changed: changedEagerPages(cow) });
}

/** What is known when all chunks are in the file. */
export function resultOf(
  writer: ChunkWriter,
  workingSet: readonly number[],
  writes: ObservedWrites = { first: [], changed: [] },
): SaveResult {
  const { records } = writer;
  const sum = (key: 'zeroPages' | 'inheritedPages') =>
    records.reduce((total, record) => total + (record?.[key] ?? 0), 0);
  return {
    checksums: Array.from(records, record => record?.crc ?? 0),
    zeroChunks: Array.from(records, record => record?.isZero ?? false),
    workingSet,
    writes,
    pages_zero: sum('zeroPages'),
    pages_inherited: sum('inheritedPages'),
    bytesWritten: writer.bytesWritten,
    states: writer.map.bytes,
    frames: writer.frames,
    fileLength: writer.end,
  };
}

function requireArmed(state: CowState): void {
  if (!state.armed) throw new TsvmmError('TSVMM_E_INTERRUPTED', 'the snapshot was given up');
}

/** Of the pages that were copied without the rest of their chunk, those that are not as they were any more. */
function changedEagerPages(cow: CopyOnWrite): number[] {
  const { eagerPages } = cow.state;
  const changed: number[] = [];
  for (let i = 0; i < eagerPages.count; i++) {
    const page = eagerPages.page(i);
    const now = hvaOffset(cow.chunkAddress(0), page * PAGE_SIZE);
    if (!isEqual(now, cow.state.eagerAddress(i), PAGE_SIZE)) changed.push(page);
  }
  return changed;
}
