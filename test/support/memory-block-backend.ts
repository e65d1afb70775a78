import { type BlockBackend, type BlockResult, WOULD_BLOCK } from '../../vmm/devices/virtio/block/backend.ts';
import type { Segments } from '../../vmm/devices/virtio/block/segments.ts';
import { backend } from '../../vmm/ffi/index.ts';

/** A block backend in memory that can be told to make its callers wait, and to fail. Logs what it is asked. */
export class MemoryBlockBackend implements BlockBackend {
  readonly content: Uint8Array;
  readonly log: string[] = [];
  /** The next operation of this name answers WOULD_BLOCK once. */
  blocksOnce: string | undefined;
  /** The next operation answers this. */
  failsOnce = 0;
  waited = 0;

  constructor(length: number) {
    this.content = new Uint8Array(length);
  }

  enter(): void {
    this.log.push('enter');
  }

  read(offset: number, data: Segments): BlockResult {
    return this.operation('read', `${offset}+${data.total}`, () =>
      forEachSegment(data, offset, (bytes, at) => bytes.set(this.content.subarray(at, at + bytes.length))),
    );
  }

  write(offset: number, data: Segments): BlockResult {
    return this.operation('write', `${offset}+${data.total}`, () =>
      forEachSegment(data, offset, (bytes, at) => this.content.set(bytes, at)),
    );
  }

  flush(): BlockResult {
    return this.operation('flush', '', () => {});
  }

  discard(offset: number, length: number): BlockResult {
    return this.operation('discard', `${offset}+${length}`, () =>
      this.content.fill(0, offset, offset + length),
    );
  }

  writeZeroes(offset: number, length: number): BlockResult {
    return this.operation('zero', `${offset}+${length}`, () => this.content.fill(0, offset, offset + length));
  }

  prefetch(offset: number, length: number): void {
    this.log.push(`prefetch ${offset}+${length}`);
  }

  wait(): void {
    this.log.push('wait');
    this.waited++;
  }

  private operation(name: string, range: string, work: () => unknown): BlockResult {
    if (this.blocksOnce === name) {
      this.blocksOnce = undefined;
      this.log.push(`${name} would block`);
      return WOULD_BLOCK;
    }
    this.log.push(`${name} ${range}`.trimEnd());
    const failure = this.failsOnce;
    this.failsOnce = 0;
    if (failure === 0) work();
    return failure;
  }
}

function forEachSegment(
  data: Segments,
  offset: number,
  visit: (bytes: Uint8Array, at: number) => void,
): void {
  let at = offset;
  for (let i = 0; i < data.count; i++) {
    visit(new Uint8Array(backend.view(data.address(i), data.length(i))), at);
    at += data.length(i);
  }
}
