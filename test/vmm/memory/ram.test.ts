import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TsvmmError } from '../../../vmm/errors.ts';
import { backend } from '../../../vmm/ffi/index.ts';
import { GIB, HUGE_PAGE_SIZE, MIB } from '../../../vmm/memory/address.ts';
import { allocateRam, availableMemory } from '../../../vmm/memory/ram.ts';

/** Lines of /proc/self/maps as [start, end]. */
const mappings = () =>
  readFileSync('/proc/self/maps', 'utf8')
    .trimEnd()
    .split('\n')
    .map(
      line =>
        line
          .split(' ')[0]
          ?.split('-')
          .map(text => Number.parseInt(text, 16)) as [number, number],
    );
const isMapped = (address: number) => mappings().some(([start, end]) => start <= address && address < end);

test('allocateRam(): zeroed, aligned to huge pages, exactly as long as asked for', () => {
  for (let i = 0; i < 4; i++) {
    const ram = allocateRam(6 * MIB);
    assert.is(ram.address % HUGE_PAGE_SIZE, 0);
    assert.ok(isMapped(ram.address) && isMapped(ram.address + 6 * MIB - 1));
    assert.ok(new Uint8Array(backend.view(ram.address, 6 * MIB)).every(byte => byte === 0));
    ram.free();
    assert.not.ok(isMapped(ram.address + 3 * MIB));
  }
});

test('allocateRam(): what is not touched is not resident', () => {
  const resident = () =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;
  const before = resident();
  const ram = allocateRam(2 * GIB);
  assert.ok(resident() - before < 64, 'below 64 MiB for 2 GiB');
  ram.free();
});

test('allocateRam(): more than the host has is refused with numbers and a hint', () => {
  const length = Math.ceil(availableMemory() / GIB + 1) * GIB;
  assert.throws(
    () => allocateRam(length),
    (error: unknown) =>
      error instanceof TsvmmError &&
      error.code === 'TSVMM_E_MEMORY' &&
      error.message.includes(`${length / MIB} MiB`) &&
      error.hint !== undefined,
  );
});

test.run();
