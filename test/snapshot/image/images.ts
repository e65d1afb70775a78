import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { ChunkReader } from '../../../snapshot/image/chunk-reader.ts';
import type { Compression } from '../../../snapshot/image/compression-names.ts';
import type { MemoryImage, MemorySource } from '../../../snapshot/image/memory-source.ts';
import { ChunkWriter } from '../../../snapshot/saver/chunk-writer.ts';
import { type Hva, hvaOffset } from '../../../vmm/memory/address.ts';
import { allocateNative, bytesAt, type NativeMemory } from '../../../vmm/memory/native.ts';

/** Memory of so many bytes to be saved and loaded, without a VM. */
export class SampleMemory {
  readonly native: NativeMemory;
  readonly bytes: Uint8Array;
  readonly chunkSize: number;

  constructor(length: number, chunkSize: number) {
    this.native = allocateNative(length);
    this.bytes = bytesAt(this.native.address, length);
    this.chunkSize = chunkSize;
  }

  get chunkCount(): number {
    return Math.ceil(this.bytes.length / this.chunkSize);
  }

  chunk(number: number): { address: Hva; length: number } {
    const offset = number * this.chunkSize;
    return {
      address: hvaOffset(this.native.address, offset),
      length: Math.min(this.chunkSize, this.bytes.length - offset),
    };
  }

  /** Saves all of it; `disturb` is called before each chunk. */
  save(
    path: string,
    compression: Compression,
    base?: MemorySource,
    disturb?: (writer: ChunkWriter, chunk: number) => void,
  ) {
    const fd = openSync(path, 'w+');
    const writer = new ChunkWriter({ fd, compression, base }, this.chunkSize, this.bytes.length);
    for (let number = 0; number < this.chunkCount; number++) {
      disturb?.(writer, number);
      const { address, length } = this.chunk(number);
      writer.write(number, address, length, false);
    }
    return { fd, writer };
  }
}

/** What saving gave, as a source on top of the parent's. The caller closes the file. */
export function sourceOf(
  memory: SampleMemory,
  { fd, writer }: ReturnType<SampleMemory['save']>,
  compression: Compression,
  base?: MemorySource,
): MemorySource {
  const image: MemoryImage = {
    fd,
    name: 'sample',
    compression,
    states: writer.map.bytes,
    frames: Uint8Array.from(writer.frames),
  };
  const chunks = Array.from(writer.records, record => (record?.isZero ? null : (record?.crc ?? 0)));
  writer.free();
  return {
    length: memory.bytes.length,
    chunkSize: memory.chunkSize,
    chunks,
    workingSet: [],
    images: [image, ...(base?.images ?? [])],
  };
}

/** Reads all of a source, over what was there before. */
export function load(source: MemorySource): Uint8Array {
  const target = allocateNative(source.length);
  const bytes = bytesAt(target.address, source.length);
  bytes.fill(0xa5);
  const reader = new ChunkReader(source);
  try {
    for (const chunk of source.chunks.keys())
      reader.read(chunk, hvaOffset(target.address, chunk * source.chunkSize));
    return Uint8Array.from(bytes);
  } finally {
    reader.free();
    target.free();
  }
}

export const closeSource = ({ images }: MemorySource): void => {
  for (const fd of new Set(images.map(image => image.fd))) closeSync(fd);
};
export const checksum = (bytes: Uint8Array): number => crc32(bytes);
export const imagePath = (folder: string, number: number): string => join(folder, `${number}.img`);
