import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SyscallError } from '../../../vmm/ffi/errno.ts';
import { EPOLL } from '../../../vmm/ffi/libc.ts';
import { EventLoop } from '../../../vmm/io/event-loop.ts';
import { closeEventFd, createEventFd, drainEventFd, signalEventFd } from '../../../vmm/io/eventfd.ts';

const test = suite<{ loop: EventLoop; fds: number[] }>('EventLoop');
test.before.each(context => {
  context.loop = new EventLoop();
  context.fds = [createEventFd(), createEventFd()];
});
test.after.each(({ loop, fds }) => {
  loop.close();
  fds.forEach(closeEventFd);
});

test('eventfd: drain tells whether it was signalled since', () => {
  const fd = createEventFd();
  assert.not.ok(drainEventFd(fd));
  signalEventFd(fd);
  signalEventFd(fd);
  assert.ok(drainEventFd(fd));
  assert.not.ok(drainEventFd(fd));
  closeEventFd(fd);
});

test('run(): calls the handlers of ready descriptors until stop()', ({
  loop,
  fds: [first = -1, second = -1],
}) => {
  const seen: string[] = [];
  loop.add(first, () => {
    drainEventFd(first);
    seen.push('first');
    signalEventFd(second);
  });
  loop.add(second, () => {
    drainEventFd(second);
    seen.push('second');
    loop.stop();
  });
  signalEventFd(first);
  loop.run();
  assert.equal(seen, ['first', 'second']);
});

test('run(): level-triggered, so a handler that does not drain is called again', ({
  loop,
  fds: [fd = -1],
}) => {
  let calls = 0;
  loop.add(fd, () => {
    if (++calls === 3) loop.stop();
  });
  signalEventFd(fd);
  loop.run();
  assert.is(calls, 3);
});

test('remove(): the handler is not called any more, even if its descriptor was already reported ready', ({
  loop,
  fds: [first = -1, second = -1],
}) => {
  const seen: number[] = [];
  const handler = (own: number, other: number) => () => {
    seen.push(own);
    loop.remove(other);
    loop.stop();
  };
  loop.add(first, handler(first, second));
  loop.add(second, handler(second, first));
  signalEventFd(first);
  signalEventFd(second);
  loop.run();
  assert.is(seen.length, 1);
});

test('modify(): other events count from then on', ({ loop, fds: [fd = -1] }) => {
  let calls = 0;
  loop.add(fd, () => {
    calls++;
    loop.stop();
  });
  loop.modify(fd, EPOLL.OUT);
  loop.run();
  assert.is(calls, 1, 'an eventfd is always writable');
});

test('onBeforeSleep(): its answer bounds the wait', ({ loop, fds: [fd = -1] }) => {
  let turns = 0;
  loop.add(fd, () => {});
  loop.onBeforeSleep(() => {
    if (++turns === 3) loop.stop();
    return 0;
  });
  loop.run();
  assert.is(turns, 3);
});

test('onClose(): hooks run when the loop is closed, the last first', () => {
  const loop = new EventLoop();
  const calls: number[] = [];
  loop.onClose(() => calls.push(1));
  loop.onClose(() => calls.push(2));
  loop.close();
  assert.equal(calls, [2, 1]);
});

test('add(): of something that is no descriptor throws SyscallError', ({ loop }) => {
  assert.throws(
    () => loop.add(1_000_000, () => {}),
    (error: unknown) => error instanceof SyscallError && error.errno === 'EBADF',
  );
});

test.run();
