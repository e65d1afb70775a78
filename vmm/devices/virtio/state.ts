import { type Gpa, gpa } from '../../memory/address.ts';
import { SharedLock } from '../../shared/lock.ts';
import { CONFIG_SPACE_SIZE, type VirtioModel } from './model.ts';

/** Words of shared memory that make up a device's transport state. All but LOCK are guarded by it. */
const Word = {
  LOCK: 0,
  STATUS: 1,
  /** Set by the I/O side and cleared by the vCPU's side, atomically and without the lock. */
  INTERRUPT_STATUS: 2,
  CONFIG_GENERATION: 3,
  DEVICE_FEATURES_SELECT: 4,
  DRIVER_FEATURES_SELECT: 5,
  DRIVER_FEATURES_LOW: 6,
  DRIVER_FEATURES_HIGH: 7,
  QUEUE_SELECT: 8,
  /** Counts resets and activations, so that the I/O side knows when what it derived from the state is stale. */
  ACTIVATION: 9,
  QUEUES: 16,
} as const;

const QueueWord = {
  SIZE: 0,
  READY: 1,
  DESCRIPTORS_LOW: 2,
  DESCRIPTORS_HIGH: 3,
  DRIVER_LOW: 4,
  DRIVER_HIGH: 5,
  DEVICE_LOW: 6,
  DEVICE_HIGH: 7,
  /** Next entry of the available ring to be taken. */
  NEXT_AVAILABLE: 8,
  /** Next entry of the used ring to be filled. */
  NEXT_USED: 9,
  /** NEXT_USED when it was last decided whether to interrupt the driver. */
  SIGNALLED_USED: 10,
  COUNT: 16,
} as const;

/** The transport state of one virtqueue, in shared memory. */
export class QueueState {
  private readonly words: Int32Array;

  constructor(words: Int32Array) {
    this.words = words;
  }

  get size(): number {
    return this.words[QueueWord.SIZE] as number;
  }
  set size(entries: number) {
    this.words[QueueWord.SIZE] = entries;
  }
  get ready(): boolean {
    return this.words[QueueWord.READY] === 1;
  }
  set ready(ready: boolean) {
    this.words[QueueWord.READY] = ready ? 1 : 0;
  }
  get descriptors(): Gpa {
    return this.address(QueueWord.DESCRIPTORS_LOW);
  }
  get driver(): Gpa {
    return this.address(QueueWord.DRIVER_LOW);
  }
  get device(): Gpa {
    return this.address(QueueWord.DEVICE_LOW);
  }
  get nextAvailable(): number {
    return this.words[QueueWord.NEXT_AVAILABLE] as number;
  }
  set nextAvailable(index: number) {
    this.words[QueueWord.NEXT_AVAILABLE] = index;
  }
  get nextUsed(): number {
    return this.words[QueueWord.NEXT_USED] as number;
  }
  set nextUsed(index: number) {
    this.words[QueueWord.NEXT_USED] = index;
  }
  get signalledUsed(): number {
    return this.words[QueueWord.SIGNALLED_USED] as number;
  }
  set signalledUsed(index: number) {
    this.words[QueueWord.SIGNALLED_USED] = index;
  }

  /** Writes half of an address register pair; `part` is one of the AddressHalf values. */
  setAddressHalf(part: AddressHalf, value: number): void {
    this.words[part] = value;
  }

  reset(maximumSize: number): void {
    this.words.fill(0);
    this.size = maximumSize;
  }

  private address(low: number): Gpa {
    return gpa(((this.words[low] as number) >>> 0) + ((this.words[low + 1] as number) >>> 0) * 2 ** 32);
  }
}

export const AddressHalf = {
  DESCRIPTORS_LOW: QueueWord.DESCRIPTORS_LOW,
  DESCRIPTORS_HIGH: QueueWord.DESCRIPTORS_HIGH,
  DRIVER_LOW: QueueWord.DRIVER_LOW,
  DRIVER_HIGH: QueueWord.DRIVER_HIGH,
  DEVICE_LOW: QueueWord.DEVICE_LOW,
  DEVICE_HIGH: QueueWord.DEVICE_HIGH,
} as const;
export type AddressHalf = (typeof AddressHalf)[keyof typeof AddressHalf];

/**
 * All state of a virtio device that a driver can see, in shared memory: written by the vCPU threads through the
 * transport and by the I/O thread that serves the queues, under `lock`. Whoever holds the lock finds the device at a
 * descriptor boundary.
 */
export class VirtioState {
  readonly buffer: SharedArrayBuffer;
  readonly lock: SharedLock;
  readonly queues: readonly QueueState[];
  readonly config: Uint8Array;
  /** The words of the kind of device's own (VirtioModel.ownWords). */
  readonly own: Int32Array;
  private readonly words: Int32Array;

  static allocate(model: VirtioModel): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer(configOffset(model) + CONFIG_SPACE_SIZE);
    const state = new VirtioState(buffer, model);
    state.config.set(model.config);
    state.reset(model);
    return buffer;
  }

  constructor(buffer: SharedArrayBuffer, model: VirtioModel) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, 0, configOffset(model) / 4);
    this.lock = new SharedLock(this.words, Word.LOCK);
    this.config = new Uint8Array(buffer, configOffset(model), CONFIG_SPACE_SIZE);
    this.own = this.words.subarray(Word.QUEUES + model.queueSizes.length * QueueWord.COUNT);
    this.queues = model.queueSizes.map((_, index) => {
      const first = Word.QUEUES + index * QueueWord.COUNT;
      return new QueueState(this.words.subarray(first, first + QueueWord.COUNT));
    });
  }

  get status(): number {
    return this.words[Word.STATUS] as number;
  }
  set status(bits: number) {
    this.words[Word.STATUS] = bits;
  }
  get interruptStatus(): number {
    return Atomics.load(this.words, Word.INTERRUPT_STATUS);
  }
  get configGeneration(): number {
    return this.words[Word.CONFIG_GENERATION] as number;
  }
  get deviceFeaturesSelect(): number {
    return this.words[Word.DEVICE_FEATURES_SELECT] as number;
  }
  set deviceFeaturesSelect(page: number) {
    this.words[Word.DEVICE_FEATURES_SELECT] = page;
  }
  get driverFeaturesSelect(): number {
    return (this.words[Word.DRIVER_FEATURES_SELECT] as number) >>> 0;
  }
  set driverFeaturesSelect(page: number) {
    this.words[Word.DRIVER_FEATURES_SELECT] = page;
  }
  get driverFeatures(): bigint {
    const low = BigInt((this.words[Word.DRIVER_FEATURES_LOW] as number) >>> 0);
    return low | (BigInt((this.words[Word.DRIVER_FEATURES_HIGH] as number) >>> 0) << 32n);
  }
  get queueSelect(): number {
    return this.words[Word.QUEUE_SELECT] as number;
  }
  set queueSelect(index: number) {
    this.words[Word.QUEUE_SELECT] = index;
  }
  get activation(): number {
    return this.words[Word.ACTIVATION] as number;
  }

  /** The queue that the driver selected, or undefined for one that does not exist. */
  get selectedQueue(): QueueState | undefined {
    return this.queues[this.queueSelect];
  }

  setDriverFeaturesPage(page: number, value: number): void {
    if (page > 1) return;
    this.words[page === 0 ? Word.DRIVER_FEATURES_LOW : Word.DRIVER_FEATURES_HIGH] = value;
  }

  noteActivation(): void {
    this.words[Word.ACTIVATION] = this.activation + 1;
  }

  setInterrupt(bits: number): void {
    Atomics.or(this.words, Word.INTERRUPT_STATUS, bits);
  }

  acknowledgeInterrupt(bits: number): void {
    Atomics.and(this.words, Word.INTERRUPT_STATUS, ~bits);
  }

  /** Replaces bytes of the configuration space (lock held); drivers notice by the generation. */
  updateConfig(offset: number, bytes: Uint8Array): void {
    this.config.set(bytes, offset);
    this.words[Word.CONFIG_GENERATION] = this.configGeneration + 1;
  }

  /** All words but the lock: what a snapshot keeps. Lock held by the caller. */
  copyTo(into: Int32Array): void {
    into.set(this.words.subarray(Word.STATUS));
  }

  /** The inverse of copyTo, before anybody uses the device. */
  loadFrom(from: Int32Array): void {
    this.words.set(from, Word.STATUS);
  }

  /** Number of words that copyTo writes. */
  get wordCount(): number {
    return this.words.length - Word.STATUS;
  }

  /** Section 2.4: back to the initial state; generation and configuration space kept, but for the session's part. */
  reset(model: VirtioModel): void {
    const { activation, configGeneration } = this;
    // Not the lock: another thread may just have gone to sleep on it.
    this.words.fill(0, Word.STATUS, Word.QUEUES);
    this.words[Word.CONFIG_GENERATION] = configGeneration;
    this.words[Word.ACTIVATION] = activation + 1;
    for (const [index, queue] of this.queues.entries()) queue.reset(model.queueSizes[index] as number);
    this.own.fill(0, 0, model.ownWords?.session ?? 0);
    for (const { start, end } of model.sessionConfig ?? []) {
      for (let i = start; i < end; i++) this.config[i] = model.config[i] ?? 0;
    }
  }
}

const configOffset = ({ queueSizes, ownWords = { session: 0, lasting: 0 } }: VirtioModel): number =>
  (Word.QUEUES + queueSizes.length * QueueWord.COUNT + ownWords.session + ownWords.lasting) * 4;
