import { PAGE_SIZE } from '../../vmm/memory/address.ts';
import { FrameTable } from './frame-table.ts';
import type { ManifestVm } from './manifest.ts';
import { PageMap, PageState } from './page-map.ts';
import { corrupt } from './struct-codec.ts';

/** What memory.map holds: the state of every page, and, if chunks are compressed, where each lies. */
export interface MemoryMap {
  readonly states: PageMap;
  readonly frames: FrameTable | undefined;
}

export const encodeMemoryMap = ({
  states,
  frames,
}: {
  readonly states: Uint8Array;
  readonly frames: Uint8Array;
}): Uint8Array => Buffer.concat([states, frames]);

/**
 * The inverse of encodeMemoryMap. `inherits` says that there is a parent. Throws TSVMM_E_SNAPSHOT_CORRUPT for anything that
 * does not fit the sizes in the manifest.
 */
export function decodeMemoryMap(
  content: Uint8Array,
  { bytes, chunk_bytes, compression, file_bytes, map }: ManifestVm['memory'],
  { inherits }: { inherits: boolean },
): MemoryMap {
  const pageCount = bytes / PAGE_SIZE;
  const chunkCount = Math.ceil(bytes / chunk_bytes);
  const stateBytes = PageMap.size(pageCount);
  const frameBytes = compression === 'none' ? 0 : FrameTable.size(chunkCount);
  if (content.length !== stateBytes + frameBytes)
    throw corrupt(map.path, 'does not fit the size of the memory');
  // Shared, as the thread that loads the memory looks at it too.
  const shared = new Uint8Array(new SharedArrayBuffer(content.length));
  shared.set(content);
  const states = new PageMap(shared.subarray(0, stateBytes));
  if (!states.isValid(pageCount, { inherits })) throw corrupt(map.path, 'says what no page can be');
  if (compression === 'none') return { states, frames: undefined };

  const frames = new FrameTable(shared.subarray(stateBytes));
  const pagesPerChunk = chunk_bytes / PAGE_SIZE;
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    const end = Math.min(pageCount, (chunk + 1) * pagesPerChunk);
    const content = states.count(PageState.DATA, chunk * pagesPerChunk, end) * PAGE_SIZE;
    if (!frames.isWithin(chunk, file_bytes, content))
      throw corrupt(map.path, `leads out of the file in chunk ${chunk}`);
  }
  return { states, frames };
}
