import { allocateHostBuffer } from '../../snapshot/disk/host-buffer.ts';
import { type BlockBackend, type BlockResult, WOULD_BLOCK } from '../../vmm/devices/virtio/block/backend.ts';
import { Segments } from '../../vmm/devices/virtio/block/segments.ts';
import { hvaOffset } from '../../vmm/memory/address.ts';

/** Uses a block backend as the device does: waits where it has to, and asks again. */
export class DiskUser {
  backend: BlockBackend;
  private readonly buffer;
  private readonly segments = new Segments(256);

  constructor(backend: BlockBackend, bufferBytes = 4 * 1024 * 1024) {
    this.backend = backend;
    this.buffer = allocateHostBuffer(bufferBytes);
  }

  /** Throws unless the read succeeds. `pieces` are the lengths of the buffers it goes to; the last takes the rest. */
  read(offset: number, length: number, pieces: readonly number[] = []): Uint8Array {
    this.setSegments(length, pieces);
    this.buffer.bytes.fill(0xee, 0, length);
    this.demand(() => this.backend.read(offset, this.segments));
    return this.buffer.bytes.slice(0, length);
  }

  write(offset: number, data: Uint8Array, pieces: readonly number[] = []): void {
    this.setSegments(data.length, pieces);
    this.buffer.bytes.set(data);
    this.demand(() => this.backend.write(offset, this.segments));
  }

  writeZeroes(offset: number, length: number): void {
    this.demand(() => this.backend.writeZeroes(offset, length));
  }

  discard(offset: number, length: number): void {
    this.demand(() => this.backend.discard(offset, length));
  }

  flush(): void {
    this.demand(() => this.backend.flush());
  }

  /** Asks until the backend does not want to wait any more. */
  settle(operation: () => BlockResult): number {
    for (;;) {
      this.backend.enter();
      const result = operation();
      if (result !== WOULD_BLOCK) return result;
      this.backend.wait();
    }
  }

  free(): void {
    this.buffer.free();
  }

  private demand(operation: () => BlockResult): void {
    const result = this.settle(operation);
    if (result !== 0) throw new Error(`the disk answered ${result}`);
  }

  private setSegments(length: number, pieces: readonly number[]): void {
    if (length > this.buffer.bytes.length) throw new Error(`the buffer does not hold ${length} bytes`);
    this.segments.clear();
    let at = 0;
    for (let i = 0; at < length; i++) {
      const piece = Math.min(pieces[i] ?? length, length - at);
      this.segments.append(hvaOffset(this.buffer.address, at), piece);
      at += piece;
    }
  }
}
