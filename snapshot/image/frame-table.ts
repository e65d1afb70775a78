const ENTRY_BYTES = 16;
const LENGTH_OFFSET = 8;

/** Where the compressed content of each chunk lies in its file: offset and length, of 8 bytes each, little-endian. */
export class FrameTable {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  /** `bytes` holds FrameTable.size() bytes; in a new table all frames are empty. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  static size(chunkCount: number): number {
    return chunkCount * ENTRY_BYTES;
  }

  offset(chunk: number): number {
    return Number(this.view.getBigUint64(chunk * ENTRY_BYTES, true));
  }

  length(chunk: number): number {
    return Number(this.view.getBigUint64(chunk * ENTRY_BYTES + LENGTH_OFFSET, true));
  }

  set(chunk: number, offset: number, length: number): void {
    this.view.setBigUint64(chunk * ENTRY_BYTES, BigInt(offset), true);
    this.view.setBigUint64(chunk * ENTRY_BYTES + LENGTH_OFFSET, BigInt(length), true);
  }

  /** Whether the chunk's frame lies in a file of so many bytes and is not longer than its `content`. */
  isWithin(chunk: number, fileBytes: number, content: number): boolean {
    const length = this.length(chunk);
    if (content === 0) return length === 0;
    return length > 0 && length <= content && this.offset(chunk) + length <= fileBytes;
  }
}
