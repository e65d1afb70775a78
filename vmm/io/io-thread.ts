import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  type Worker,
  workerData,
} from 'node:worker_threads';
import { deserializeError, type SerializedError, serializeError, TsvmmError } from '../errors.ts';
import { EventLoop } from './event-loop.ts';
import { closeEventFd, createEventFd, drainEventFd, signalEventFd } from './eventfd.ts';
import { startThread } from './thread.ts';

interface Request {
  readonly id: number;
  readonly body: unknown;
}
type Reply = { readonly id: number } & ({ readonly result: unknown } | { readonly error: SerializedError });
/** What the thread says without being asked. */
interface Notice {
  readonly notice: unknown;
}
/** Sends a notice to the control side. Allocates: not for every frame or request. */
export type Notify = (notice: unknown) => void;
interface IoThreadData {
  readonly port: MessagePort;
  readonly doorbell: number;
  readonly setup: unknown;
}

/**
 * The control side of a thread that sleeps in epoll: it cannot receive messages by itself, so each is announced by a
 * doorbell eventfd, upon which the thread fetches it.
 */
export class IoThread<Message, Result = void> {
  private readonly worker: Worker;
  private readonly port: MessagePort;
  private readonly doorbell = createEventFd();
  private readonly waiting = new Map<number, { resolve: (r: Result) => void; reject: (e: Error) => void }>();
  private nextId = 0;
  private failure: Error | undefined;
  /** Called with each notice of the thread. */
  onNotice: (notice: unknown) => void = () => {};
  /** Settles when the thread has ended; rejects when it ended by an error. */
  readonly ended: Promise<void>;

  /** `relative` names the thread's module as startThread takes it; that module calls serveIoThread. */
  constructor(callerUrl: string, relative: string, setup: unknown = undefined) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    const data: IoThreadData = { port: port2, doorbell: this.doorbell, setup };
    this.worker = startThread(callerUrl, relative, { workerData: data, transferList: [port2] });
    this.port.on('message', (message: Reply | Notice) => {
      if ('notice' in message) this.onNotice(message.notice);
      else this.settle(message);
    });
    this.port.unref();
    this.ended = new Promise((resolve, reject) => {
      this.worker.on('error', error => {
        this.fail(new TsvmmError('TSVMM_E_WORKER', `the thread ${relative} failed`, { cause: error }));
        reject(this.failure as Error);
      });
      this.worker.on('exit', () => {
        this.fail(new TsvmmError('TSVMM_E_WORKER', `the thread ${relative} has ended`));
        closeEventFd(this.doorbell);
        resolve();
      });
    });
    this.ended.catch(() => {});
  }

  request(body: Message): Promise<Result> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.port.ref();
      this.port.postMessage({ id, body } satisfies Request);
      signalEventFd(this.doorbell);
    });
  }

  /** Ends the thread after what it is doing now. */
  async stop(): Promise<void> {
    if (this.failure === undefined) {
      this.port.postMessage({ id: -1, body: undefined } satisfies Request);
      signalEventFd(this.doorbell);
    }
    await this.ended;
  }

  private settle(reply: Reply): void {
    const waiter = this.waiting.get(reply.id);
    this.waiting.delete(reply.id);
    if (this.waiting.size === 0) this.port.unref();
    if (waiter === undefined) return;
    if ('error' in reply) waiter.reject(deserializeError(reply.error));
    else waiter.resolve(reply.result as Result);
  }

  private fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    for (const waiter of this.waiting.values()) waiter.reject(error);
    this.waiting.clear();
    this.port.close();
  }
}

/**
 * Runs the calling worker thread as an I/O thread, until stop(). `start` gets the loop, the thread's set-up value and a
 * way to speak unasked, and returns what handles the messages; what a handler throws is the reply.
 */
export function serveIoThread<Message, Setup = unknown>(
  start: (loop: EventLoop, setup: Setup, notify: Notify) => (message: Message) => unknown,
): void {
  const { port, doorbell, setup } = workerData as IoThreadData;
  const loop = new EventLoop();
  const handle = start(loop, setup as Setup, notice => port.postMessage({ notice } satisfies Notice));
  loop.add(doorbell, () => {
    drainEventFd(doorbell);
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
      const { id, body } = next.message as Request;
      if (id === -1) loop.stop();
      else port.postMessage(reply(id, () => handle(body as Message)));
    }
  });
  loop.run();
  loop.close();
  port.close();
}

function reply(id: number, work: () => unknown): Reply {
  try {
    return { id, result: work() };
  } catch (error) {
    return { id, error: serializeError(error) };
  }
}
