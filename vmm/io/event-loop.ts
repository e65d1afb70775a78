import { checked } from '../ffi/errno.ts';
import { close, EPOLL, epollControl, epollCreate, epollWait } from '../ffi/libc.ts';
import { struct, u32, usize } from '../ffi/struct.ts';

/** epoll_ctl(2); packed on x86-64. */
export const epollEvent = struct('epoll_event', { events: u32, data: usize }, { data: 4, size: 12 });

const MAXIMUM_EVENTS = 64;

/**
 * The blocking loop of an I/O thread: waits on file descriptors with epoll and calls their handlers. It allocates
 * nothing while it runs.
 */
export class EventLoop {
  private readonly epoll = checked(epollCreate(0o2000000), 'epoll_create1');
  private readonly handlers: ((() => void) | undefined)[] = [];
  private readonly events = new Uint8Array(MAXIMUM_EVENTS * epollEvent.size);
  private readonly view = new DataView(this.events.buffer);
  private beforeSleep: (() => number) | undefined;
  private running = false;
  private readonly closings: (() => void)[] = [];

  /** Calls `handler` whenever one of `events` holds for `fd` (level-triggered). */
  add(fd: number, handler: () => void, events: number = EPOLL.IN): void {
    this.control(EPOLL.CTL_ADD, fd, events);
    this.handlers[fd] = handler;
  }

  modify(fd: number, events: number): void {
    this.control(EPOLL.CTL_MOD, fd, events);
  }

  remove(fd: number): void {
    this.control(EPOLL.CTL_DEL, fd, 0);
    this.handlers[fd] = undefined;
  }

  /** `hook` runs before each wait and answers how long it may last, in ms: 0 to poll again, -1 without end. */
  onBeforeSleep(hook: () => number): void {
    this.beforeSleep = hook;
  }

  /** Returns after stop(). */
  run(): void {
    this.running = true;
    while (this.running) {
      const timeout_ms = this.beforeSleep === undefined ? -1 : this.beforeSleep();
      const count = checked(epollWait(this.epoll, this.events, MAXIMUM_EVENTS, timeout_ms), 'epoll_wait');
      for (let i = 0; i < count; i++) {
        this.handlers[this.view.getUint32(i * epollEvent.size + epollEvent.offsets.data, true)]?.();
      }
    }
  }

  stop(): void {
    this.running = false;
  }

  /** `hook` gives back what a part of the thread holds, when the loop is closed. */
  onClose(hook: () => void): void {
    this.closings.unshift(hook);
  }

  close(): void {
    for (const hook of this.closings) hook();
    close(this.epoll);
  }

  private control(operation: number, fd: number, events: number): void {
    const event = epollEvent.allocate();
    event.events = events;
    event.data = fd;
    checked(epollControl(this.epoll, operation, fd, event.bytes), 'epoll_ctl');
  }
}
