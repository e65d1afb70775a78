import { deserializeError, type SerializedError } from '../../vmm/errors.ts';
import { CowState } from '../../vmm/memory/cow-state.ts';
import type { Ram } from '../../vmm/memory/ram.ts';
import {
  RegisterMode,
  UserFaultFd,
  UserfaultFeature,
  userfaultfdFeatures,
} from '../../vmm/memory/userfaultfd.ts';
import { closeMemorySource, type MemorySource } from '../image/memory-source.ts';
import { PagingState } from './paging-state.ts';
import type { RestoreThread } from './restore-threads.ts';

/** Brings a snapshot's memory into the RAM of one new machine, by a thread that ends with that work. */
export class MemoryLoader {
  private readonly source: MemorySource;
  private readonly ram: Ram;
  private readonly cow: CowState;
  private readonly onDamage: (error: Error) => void;
  private readonly thread: RestoreThread;
  /** While memory comes lazily, and afterwards. */
  paging: PagingState | undefined;
  private userfault: RegisteredRam | undefined;
  private closing: Promise<void> | undefined;
  private lettingGo = false;
  private onLoaded: () => void = () => {};
  private endBuilding: () => void = () => {};
  private readonly whenBuilt = new Promise<void>(resolve => {
    this.endBuilding = resolve;
  });

  /** Takes `source` and `thread` over. `onDamage`: a lazy load has failed, while the VM ran already. */
  constructor(source: MemorySource, thread: RestoreThread, ram: Ram, onDamage: (error: Error) => void) {
    this.source = source;
    this.thread = thread;
    this.ram = ram;
    this.cow = new CowState(ram.cow);
    this.onDamage = onDamage;
  }

  /**
   * Resolves when the VM may run. Lazily that is before its memory is there, unless the kernel does not let us have its
   * faults. Throws TSVMM_E_SNAPSHOT_CORRUPT.
   */
  async load(lazy: boolean): Promise<void> {
    const { source } = this;
    const { address, length } = this.ram;
    const target = { address, length };
    if (lazy) this.userfault = openUserfault(this.ram);
    if (this.userfault === undefined) {
      await this.thread.request({ load: source, into: target });
      return this.close();
    }
    // What is given back would be missing again, which the kernel would ask us for.
    this.cow.holdDiscards();
    const { fd, canMove } = this.userfault;
    const paging = PagingState.allocate();
    this.paging = paging;
    await this.thread.request({
      page: { source, target, userfaultFd: fd, canMove, state: paging.buffer },
    });
    void this.watch(paging);
  }

  /**
   * The machine has its state, for which memory was looked at that may have come lazily. Throws
   * TSVMM_E_SNAPSHOT_CORRUPT when that was damaged.
   */
  async built(): Promise<void> {
    if (this.userfault !== undefined) await this.thread.request('built');
    this.endBuilding();
  }

  /** The VM runs now: what it has not asked for by itself may come too. `onLoaded`: all is there that came lazily. */
  released(onLoaded: () => void): void {
    this.onLoaded = onLoaded;
    // A thread that has failed says so by itself, one that has ended has nothing left to load.
    if (this.userfault !== undefined && this.closing === undefined)
      this.thread.request('released').catch(() => {});
  }

  /**
   * Lets those go on who wait for memory that will never come, as it was damaged or the thread has failed; what they find
   * is not the guest's, which must not run any more. Idempotent.
   */
  async letGo(): Promise<void> {
    if (this.userfault === undefined || this.closing !== undefined) return;
    this.lettingGo = true;
    const failure = await this.thread.request('failure').catch(error => error);
    if (failure !== undefined) this.closeUserfault();
  }

  /** Before RAM goes, when nobody uses it any more. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    this.endBuilding();
    await this.thread.stop();
    closeMemorySource(this.source);
    this.closeUserfault();
  }

  private closeUserfault(): void {
    this.userfault?.close();
    this.userfault = undefined;
  }

  /** All is there: nothing of the snapshot is needed any more. If not, whoever waits for memory must go on waiting. */
  private async watch(paging: PagingState): Promise<void> {
    await paging.ended();
    if (this.closing !== undefined) return;
    const failure = await this.thread.request('failure').catch(() => undefined);
    if (this.closing !== undefined) return;
    if (failure !== undefined) {
      if (this.lettingGo) return this.closeUserfault();
      // Whoever builds the machine hears of it from built().
      await this.whenBuilt;
      if (this.closing !== undefined) return;
      this.onDamage(deserializeError(failure as SerializedError));
      return;
    }
    this.cow.allowDiscards();
    this.onLoaded();
    await this.close();
  }
}

interface RegisteredRam {
  readonly fd: number;
  readonly canMove: boolean;
  close(): void;
}

/** Registers RAM as missing; undefined where the kernel refuses. */
function openUserfault({ address, length }: Ram): RegisteredRam | undefined {
  const canMove = (userfaultfdFeatures() & UserfaultFeature.MOVE) !== 0n;
  let userfault: UserFaultFd | undefined;
  try {
    const opened = UserFaultFd.open(canMove ? UserfaultFeature.MOVE : 0n);
    userfault = opened;
    opened.register(address, length, RegisterMode.MISSING);
    return { fd: opened.fd, canMove, close: () => opened.close() };
  } catch {
    userfault?.close();
    return undefined;
  }
}
