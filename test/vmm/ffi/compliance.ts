import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { FfiBackend } from '../../../vmm/ffi/backend.ts';
import { errno } from '../../../vmm/ffi/errno.ts';
import { startThread } from '../../../vmm/io/thread.ts';
import { type Hva, hva, hvaOffset } from '../../../vmm/memory/address.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const PAGE = 4096;
const READ_WRITE = 3;
const PRIVATE_ANONYMOUS = 0x22;

/** What every FFI backend must do; see vmm/ffi/backend.ts. */
export function ffiCompliance(create: () => FfiBackend): void {
  const backend = create();
  const test = suite(`ffi backend ${backend.name}`);
  const mmap = backend.bind('mmap', 'i64', ['address', 'u64', 'i32', 'i32', 'i32', 'i64']);
  const munmap = backend.bind('munmap', 'i32', ['address', 'u64']);
  const map = (length = PAGE): Hva => hva(mmap(0, length, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0));

  function withMapping(body: (address: Hva) => void | Promise<void>, length = PAGE): () => Promise<void> {
    return async () => {
      const address = map(length);
      try {
        await body(address);
      } finally {
        munmap(address, length);
      }
    };
  }

  test('bind: integers of 32 and 64 bits come back as they are', () => {
    const labs = backend.bind('labs', 'i64', ['i64']);
    assert.is(labs(-(2 ** 40)), 2 ** 40);
    assert.is(labs(Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
    const abs = backend.bind('abs', 'i32', ['i32']);
    assert.is(abs(-(2 ** 31) + 1), 2 ** 31 - 1);
    assert.is(backend.bind('ntohl', 'i32', ['u32'])(0xfeffffff), -2, 'u32 beyond 2^31 goes in');
    assert.is(backend.bind('getpid', 'i32', [])(), process.pid);
  });

  test('bind: a result of -1 becomes -errno', () => {
    const close = backend.bind('close', 'i32', ['i32']);
    assert.is(close(-1), -errno.EBADF);
    const open = backend.bind('open', 'i32', ['cstring', 'i32', 'i32']);
    assert.is(open('/no/such/file', 0, 0), -errno.ENOENT);
    assert.is(close(-1), -errno.EBADF, 'errno is of the latest call');
    assert.is(mmap(0, 0, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0), -errno.EINVAL, 'in 64-bit results too');
  });

  test('bind: a symbol that libc lacks is an error, at the latest when it is called', () => {
    assert.throws(() => backend.bind('no_such_function_in_libc', 'i32', [])());
  });

  test('bindFrom: functions of other libraries, whose -1 stays -1', () => {
    const labs = backend.bindFrom('libc.so.6', 'labs', 'i64', ['i64']);
    assert.is(labs(-(2 ** 40)), 2 ** 40);
    assert.is(backend.bindFrom('libc.so.6', 'close', 'i32', ['i32'])(-1), -1);
    assert.throws(() => backend.bindFrom('libnosuch.so.9', 'labs', 'i64', ['i64'])(1));
    assert.throws(() => backend.bindFrom('libm.so.6', 'no_such_function', 'i64', [])());
  });

  test('bind: u64 and i64 offsets beyond 4 GiB reach the kernel', () => {
    const path = join(temporaryFolder(), 'sparse');
    writeFileSync(path, '');
    const fd = openSync(path, 'r+');
    const pwrite = backend.bind('pwrite', 'i64', ['i32', 'buffer', 'u64', 'i64']);
    const pread = backend.bind('pread', 'i64', ['i32', 'buffer', 'u64', 'i64']);
    const lseek = backend.bind('lseek', 'i64', ['i32', 'i64', 'i32']);
    const offset = 5 * 2 ** 30 + 3;
    assert.is(pwrite(fd, Buffer.from('far'), 3, offset), 3);
    const read = new Uint8Array(8);
    assert.is(pread(fd, read, 8, offset), 3);
    assert.is(Buffer.from(read.subarray(0, 3)).toString(), 'far');
    assert.is(lseek(fd, 0, 2), offset + 3);
    closeSync(fd);
  });

  test('bind: strings are passed as UTF-8 with an end', () => {
    const folder = temporaryFolder();
    const path = join(folder, 'größe');
    const fd = backend.bind('creat', 'i32', ['cstring', 'i32'])(path, 0o600);
    assert.ok(fd >= 0);
    closeSync(fd);
    assert.is(readFileSync(path, 'utf8'), '');
    assert.is(backend.bind('strlen', 'i64', ['cstring'])(''), 0);
  });

  test("bind: C writes into the caller's bytes, at their offset, and nowhere else", () => {
    const memset = backend.bind('memset', 'i64', ['buffer', 'i32', 'u64']);
    for (const buffer of [new ArrayBuffer(64), new SharedArrayBuffer(64)]) {
      const all = new Uint8Array(buffer);
      memset(all.subarray(8, 16), 0xab, 4);
      assert.equal([...all.subarray(7, 13)], [0, 0xab, 0xab, 0xab, 0xab, 0]);
    }
    const pooled = Buffer.from('0123456789');
    memset(pooled.subarray(2), 0x2e, 3);
    assert.is(pooled.toString(), '01...56789');
  });

  test('symbolAddress: the same function has the same address, and it can be called through it', () => {
    assert.is(backend.symbolAddress('abs'), backend.symbolAddress('abs'));
    assert.is.not(backend.symbolAddress('abs'), backend.symbolAddress('labs'));
    assert.ok(backend.symbolAddress('abs') > 2 ** 32);
  });

  test(
    'view: reads and writes the memory itself, again and again',
    withMapping(address => {
      const bytes = new Uint8Array(backend.view(address, PAGE));
      assert.is(bytes.length, PAGE);
      bytes[5] = 77;
      const again = new Uint8Array(backend.view(hvaOffset(address, 4), 8));
      assert.is(again[1], 77);
      backend.bind('memset', 'i64', ['address', 'i32', 'u64'])(address, 0x11, 8);
      assert.equal([bytes[0], again[0], again[3], again[4]], [0x11, 0x11, 0x11, 0]);
    }),
  );

  test(
    'view: many of them, dropped and collected, free nothing',
    withMapping(address => {
      for (let i = 0; i < 2000; i++) new Uint8Array(backend.view(address, PAGE))[i % PAGE] = i;
      (globalThis as { gc?: () => void }).gc?.();
      assert.is(new Uint8Array(backend.view(address, PAGE))[1999], 1999 & 0xff);
    }),
  );

  test(
    'view: of 2 GiB is possible',
    withMapping(address => {
      const bytes = new Uint8Array(backend.view(address, 2 ** 31));
      bytes[2 ** 31 - 1] = 9;
      assert.is(new Uint8Array(backend.view(hvaOffset(address, 2 ** 31 - PAGE), PAGE))[PAGE - 1], 9);
    }, 2 ** 31),
  );

  test(
    'view: threads see the same memory, atomics included',
    withMapping(async address => {
      const words = new Int32Array(backend.view(address, PAGE));
      const ended = addInThread(backend.name, address, 10_000);
      for (let i = 0; i < 10_000; i++) Atomics.add(words, 0, 1);
      await ended;
      assert.is(words[0], 20_000);
    }),
  );

  test(
    'addressOf: where a view begins, offset included',
    withMapping(address => {
      const bytes = new Uint8Array(backend.view(address, PAGE));
      assert.is(backend.addressOf(bytes), address);
      assert.is(backend.addressOf(bytes.subarray(100)), address + 100);
    }),
  );

  test('addressOf: of a SharedArrayBuffer is one that C can use', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(64));
    backend.bind('memset', 'i64', ['address', 'i32', 'u64'])(backend.addressOf(shared), 0x5a, 3);
    assert.equal([...shared.subarray(0, 4)], [0x5a, 0x5a, 0x5a, 0]);
  });

  test.run();
}

/** Adds 1 to the word at `address` `count` times, in another thread with a backend of its own. */
function addInThread(name: FfiBackend['name'], address: Hva, count: number): Promise<void> {
  const worker = startThread(import.meta.url, './add-thread', { workerData: { name, address, count } });
  return new Promise((resolve, reject) => worker.once('error', reject).once('exit', () => resolve()));
}
