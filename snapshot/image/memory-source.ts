import { closeSync } from 'node:fs';
import type { Compression } from './compression-names.ts';
import type { MemoryChecksums } from './manifest.ts';

/** One file of memory, and what it has of each page. */
export interface MemoryImage {
  readonly fd: number;
  /** For messages. */
  readonly name: string;
  readonly compression: Compression;
  /** See PageMap. */
  readonly states: Uint8Array;
  /** See FrameTable; empty for what is not compressed. */
  readonly frames: Uint8Array;
}

/** RAM of a snapshot, as data that can cross to the thread that reads it. */
export interface MemorySource {
  readonly length: number;
  readonly chunkSize: number;
  /** CRC-32 of each chunk, null for one that is all zero. */
  readonly chunks: MemoryChecksums['chunks'];
  /** Chunks to be loaded first. */
  readonly workingSet: readonly number[];
  /** The snapshot's own image, then its parent's, and so on: a page is as the first of them has it. */
  readonly images: readonly MemoryImage[];
}

export function closeMemorySource({ images }: MemorySource): void {
  for (const { fd } of images) closeSync(fd);
}
