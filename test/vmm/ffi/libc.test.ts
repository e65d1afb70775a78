import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checked, errno, SyscallError } from '../../../vmm/ffi/errno.ts';
import { backend } from '../../../vmm/ffi/index.ts';
import {
  close,
  EFD,
  epollWait,
  eventfd,
  MAP,
  memcpy,
  memset,
  mmap,
  munmap,
  O,
  open,
  PROT,
  pread,
  pwrite,
  read,
  tgkill,
  write,
} from '../../../vmm/ffi/libc.ts';
import { startThread } from '../../../vmm/io/thread.ts';
import { hva } from '../../../vmm/memory/address.ts';
import { installKickSignal, kickThread } from '../../../vmm/vcpu/kick.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const test = suite(`libc by ${backend.name}`);

test('libc: calls that fail return -errno', () => {
  assert.is(open('/no/such/file', O.RDWR), -errno.ENOENT);
  assert.is(read(-1, new Uint8Array(1), 1), -errno.EBADF);
  assert.is(write(-1, new Uint8Array(1), 1), -errno.EBADF);
  assert.is(epollWait(-1, new Uint8Array(12), 1, 0), -errno.EBADF);
  assert.is(tgkill(process.pid, 2 ** 30, 0), -errno.ESRCH);
  const empty = eventfd(0, EFD.CLOEXEC | EFD.NONBLOCK);
  assert.is(read(empty, new Uint8Array(8), 8), -errno.EAGAIN);
  assert.is(close(empty), 0);
});

test('checked(): passes results through and throws SyscallError with the name of the errno', () => {
  assert.is(checked(0, 'x'), 0);
  assert.is(checked(2 ** 47, 'x'), 2 ** 47);
  assert.throws(
    () => checked(-errno.ENOSPC, 'pwrite'),
    (error: unknown) =>
      error instanceof SyscallError && error.errno === 'ENOSPC' && error.message === 'pwrite failed: ENOSPC',
  );
  assert.throws(() => checked(-4000, 'x'), /errno 4000/);
});

test('libc: pread and pwrite move bytes between a file and an address', () => {
  const address = hva(
    checked(mmap(0, 8192, PROT.READ | PROT.WRITE, MAP.PRIVATE | MAP.ANONYMOUS, -1, 0), 'mmap'),
  );
  const fd = checked(open(join(temporaryFolder(), 'file'), O.RDWR | 0o100, 0o600), 'open');
  memset(address, 0x77, 16);
  assert.is(pwrite(fd, address, 16, 2 ** 33), 16);
  memset(address, 0, 16);
  assert.is(pread(fd, hva(address + 4096), 32, 2 ** 33 + 8), 8);
  memcpy(address, hva(address + 4096), 8);
  assert.equal([...new Uint8Array(backend.view(address, 10))], [...new Array(8).fill(0x77), 0, 0]);
  assert.is(pread(fd, hva(1), 1, 2 ** 33), -errno.EFAULT);
  close(fd);
  munmap(address, 8192);
});

for (const call of ['read', 'epollWait'] as const) {
  test(`EINTR policy: ${call} goes on sleeping when its thread is signalled`, async () => {
    installKickSignal();
    const fd = checked(eventfd(0, 0), 'eventfd');
    const sleeper = startThread(import.meta.url, './sleeper-thread', { workerData: { fd, call } });
    const ended = once(sleeper, 'exit');
    const [{ thread }] = (await once(sleeper, 'message')) as [{ thread: number }];
    const answer = once(sleeper, 'message') as Promise<[{ result: number }]>;
    for (let i = 0; i < 50; i++) {
      await delay(1);
      assert.ok(kickThread(thread), 'the thread is there');
    }
    write(fd, new Uint8Array(new BigUint64Array([1n]).buffer), 8);
    const [{ result }] = await answer;
    assert.is(result, call === 'read' ? 8 : 1);
    await ended;
    assert.not.ok(kickThread(thread), 'a thread that has ended is noticed');
    close(fd);
  });
}

test.run();
