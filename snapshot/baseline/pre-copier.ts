import { DirtyLog } from '../../vmm/kvm/dirty-log.ts';
import { CopyOnWrite } from '../../vmm/memory/copy-on-write.ts';
import type { RamDescriptor } from '../../vmm/memory/ram.ts';
import { ChunkWriter } from '../saver/chunk-writer.ts';
import { resultOf, type SaveResult } from '../saver/saver.ts';

export interface PreCopyRequest {
  readonly ram: RamDescriptor;
  readonly vmFd: number;
  /** The image file, open for writing. */
  readonly fd: number;
}

/**
 * Copies RAM to an image while the guest writes it, over and over: a chunk that was written since it was copied is
 * copied again. Two logs tell which: KVM's, of what the guest wrote, and the write guard's, of what the VMM wrote. The
 * latter notes a write before it happens, so a copy may come in between: what it names is copied when nobody writes
 * any more.
 */
export class PreCopier {
  private readonly cow: CopyOnWrite;
  private readonly log: DirtyLog;
  private readonly writer: ChunkWriter;
  private readonly dirty: Uint8Array;

  /** The guard's log is on already, KVM's begins here. */
  constructor({ ram, vmFd, fd }: PreCopyRequest) {
    this.cow = new CopyOnWrite(ram.cow, ram.address, ram.length);
    this.writer = new ChunkWriter({ fd, compression: 'none' }, this.cow.state.chunkSize, ram.length);
    this.dirty = new Uint8Array(this.cow.chunkCount);
    this.log = new DirtyLog(vmFd, ram.address, ram.length);
    this.log.start();
  }

  /** Copies all; answers how many chunks. */
  copyAll(): number {
    this.dirty.fill(1);
    return this.copyDirty(false);
  }

  /** Copies what the guest has written since; answers how many chunks. */
  copyWritten(): number {
    this.log.collect(offset => {
      this.dirty[Math.floor(offset / this.cow.state.chunkSize)] = 1;
    });
    return this.copyDirty(true);
  }

  /** The last round: nobody writes any more. */
  copyRest(): number {
    for (let chunk = 0; chunk < this.dirty.length; chunk++)
      if (this.cow.state.isReleased(chunk)) this.dirty[chunk] = 1;
    return this.copyWritten();
  }

  finish(): SaveResult {
    return resultOf(this.writer, []);
  }

  /** Ends the logging and the use of this object. */
  close(): void {
    this.log.stop();
    this.writer.free();
  }

  private copyDirty(rewrite: boolean): number {
    const { cow, dirty, writer } = this;
    let count = 0;
    for (let chunk = dirty.indexOf(1); chunk >= 0; chunk = dirty.indexOf(1, chunk + 1)) {
      dirty[chunk] = 0;
      writer.write(chunk, cow.chunkAddress(chunk), cow.chunkLength(chunk), rewrite);
      count++;
    }
    return count;
  }
}
