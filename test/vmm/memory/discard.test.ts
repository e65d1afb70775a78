import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { gpa, HUGE_PAGE_SIZE, MIB, PAGE_SIZE } from '../../../vmm/memory/address.ts';
import { CowState } from '../../../vmm/memory/cow-state.ts';
import { GuestMemory } from '../../../vmm/memory/guest-memory.ts';
import { allocateRam, type Ram } from '../../../vmm/memory/ram.ts';
import { residentBytes } from '../../support/resident-bytes.ts';

const LENGTH = 16 * MIB;

const test = suite<{ ram: Ram; memory: GuestMemory; cow: CowState }>('GuestMemory.discard()');
test.before.each(context => {
  context.ram = allocateRam(LENGTH);
  context.memory = new GuestMemory(context.ram);
  context.cow = new CowState(context.ram.cow);
  for (let at = 0; at < LENGTH; at += PAGE_SIZE) context.memory.writeU32(gpa(at), 1);
});
test.after.each(({ ram }) => ram.free());

test('gives whole huge pages back to the host; they read as zeros and can be written again', ({
  ram,
  memory,
}) => {
  const before = residentBytes(ram);
  assert.is(memory.discard(gpa(HUGE_PAGE_SIZE), 2 * HUGE_PAGE_SIZE), 2 * HUGE_PAGE_SIZE);
  assert.is(before - residentBytes(ram), 2 * HUGE_PAGE_SIZE);
  for (let at = HUGE_PAGE_SIZE; at < 3 * HUGE_PAGE_SIZE; at += PAGE_SIZE)
    assert.is(memory.readU32(gpa(at)), 0);
  assert.is(memory.readU32(gpa(HUGE_PAGE_SIZE - PAGE_SIZE)), 1);
  assert.is(memory.readU32(gpa(3 * HUGE_PAGE_SIZE)), 1);
  memory.writeU32(gpa(HUGE_PAGE_SIZE), 2);
  assert.is(memory.readU32(gpa(HUGE_PAGE_SIZE)), 2);
});

test('what is less than a huge page stays', ({ memory }) => {
  assert.is(memory.discard(gpa(PAGE_SIZE), HUGE_PAGE_SIZE), 0);
  assert.is(memory.discard(gpa(0), HUGE_PAGE_SIZE - 1), 0);
  assert.is(memory.discard(gpa(0), 0), 0);
  assert.is(memory.readU32(gpa(PAGE_SIZE)), 1);
  assert.is(memory.discard(gpa(PAGE_SIZE), LENGTH - PAGE_SIZE), LENGTH - HUGE_PAGE_SIZE);
});

test('does nothing while somebody holds memory, however many do', ({ memory, cow }) => {
  cow.holdDiscards();
  cow.holdDiscards();
  cow.allowDiscards();
  assert.not.ok(memory.mayDiscard);
  assert.is(memory.discard(gpa(0), LENGTH), 0);
  assert.is(memory.readU32(gpa(0)), 1);
  cow.allowDiscards();
  assert.is(memory.discard(gpa(0), LENGTH), LENGTH);
});

test('refuses what is not RAM', ({ memory }) => {
  for (const [start, length] of [
    [LENGTH, 1],
    [0, LENGTH + 1],
    [-HUGE_PAGE_SIZE, HUGE_PAGE_SIZE],
    [2 ** 53, HUGE_PAGE_SIZE],
  ] as const)
    assert.throws(() => memory.discard(gpa(start), length), /not in guest RAM/);
});

test.run();
