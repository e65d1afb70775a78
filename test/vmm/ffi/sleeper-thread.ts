/** A thread of libc.test.ts: sleeps in a system call and reports what that returned. */
import { parentPort, workerData } from 'node:worker_threads';
import { EPOLL, epollControl, epollCreate, epollWait, gettid, read } from '../../../vmm/ffi/libc.ts';
import { epollEvent } from '../../../vmm/io/event-loop.ts';

const { fd, call } = workerData as { fd: number; call: 'read' | 'epollWait' };
const epoll = epollCreate(0);
const event = epollEvent.allocate();
event.events = EPOLL.IN;
epollControl(epoll, EPOLL.CTL_ADD, fd, event.bytes);
parentPort?.postMessage({ thread: gettid() });
const result =
  call === 'read' ? read(fd, new Uint8Array(8), 8) : epollWait(epoll, new Uint8Array(epollEvent.size), 1, -1);
parentPort?.postMessage({ result });
