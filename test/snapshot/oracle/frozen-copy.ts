import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { openMemorySource, readChain } from '../../../snapshot/image/chain.ts';
import { closeMemorySource } from '../../../snapshot/image/memory-source.ts';
import { SnapshotReader } from '../../../snapshot/image/reader.ts';
import { decodeVmState, encodeVmState } from '../../../snapshot/image/vm-state.ts';
import { loadEagerly } from '../../../snapshot/restore/eager.ts';
import type { VmSaveReport, VmSnapshotter } from '../../../snapshot/vm-snapshotter.ts';
import { memcpy } from '../../../vmm/ffi/libc.ts';
import { vcpuStateNames } from '../../../vmm/kvm/vcpu.ts';
import type { Machine } from '../../../vmm/machine.ts';
import { PAGE_SIZE } from '../../../vmm/memory/address.ts';
import { allocateNative, bytesAt, type NativeMemory } from '../../../vmm/memory/native.ts';
import { allocateRam } from '../../../vmm/memory/ram.ts';
import type { TakenSnapshot } from '../../support/snapshots.ts';

/** State that time changes while the vCPU stands still: the TSC, and the APIC's timer and what it raises. */
const TIMED_MSRS: ReadonlySet<number> = new Set([0x10, 0x6e0]);
const timed = (name: string) => name === 'lapic';

/**
 * What a snapshot must hold, taken in the pause by other means than the snapshot's: a plain copy of all RAM, and the
 * state of the vCPUs as KVM tells it.
 */
export class FrozenCopy {
  private readonly machine: Machine;
  private readonly copy: NativeMemory;
  private states: string[] = [];

  constructor(machine: Machine) {
    this.machine = machine;
    this.copy = allocateNative(machine.ram.length, { huge: true });
  }

  /** For TransientSnapshot.whileFrozen. */
  take(): void {
    const { machine, copy } = this;
    memcpy(copy.address, machine.ram.address, machine.ram.length);
    this.states = machine.vcpus.map(vcpu =>
      JSON.stringify(vcpuStateNames.filter(name => !timed(name)).map(name => [...vcpu.get(name).bytes])),
    );
  }

  /** Throws at the first difference between the snapshot and what was there in the pause. */
  check({ folder, report, snapshotter }: TakenSnapshot): void {
    this.checkMemory(folder);
    this.checkState(snapshotter);
    checkCounts(report, this.machine);
  }

  get length(): number {
    return this.copy.length;
  }

  equals(memory: Buffer): boolean {
    return memory.equals(bytesAt(this.copy.address, this.copy.length));
  }

  free(): void {
    this.copy.free();
  }

  checkMemory(folder: string): void {
    const image = loadedMemory(folder, this.machine.ram.length);
    const expected = bytesAt(this.copy.address, this.copy.length);
    assert.is(image.length, expected.length, 'the size of the image');
    if (image.equals(expected)) return;
    const pages: number[] = [];
    for (let page = 0; page < image.length / PAGE_SIZE; page++) {
      const [from, to] = [page * PAGE_SIZE, (page + 1) * PAGE_SIZE];
      if (!image.subarray(from, to).equals(expected.subarray(from, to))) pages.push(page);
    }
    throw new Error(`${pages.length} pages differ from the pause: ${pages.slice(0, 20).join(' ')} ...`);
  }

  checkState({ machine, transient }: Pick<VmSnapshotter, 'machine' | 'transient'>): void {
    const json = encodeVmState(
      machine.slabs,
      transient.capture,
      machine.config.devices.map(() => 0),
    );
    const { vcpus } = decodeVmState(JSON.parse(JSON.stringify(json)));
    for (const [i, { parts }] of vcpus.entries()) {
      const saved = vcpuStateNames.filter(name => !timed(name)).map(name => [...parts[name].bytes]);
      assert.is(JSON.stringify(saved), this.states[i], `the state of vCPU ${i}`);
    }
    assert.ok(vcpus.every(({ msrs }) => msrs.some(({ index }) => TIMED_MSRS.has(index))));
  }
}

/** All of a snapshot's memory: as the file has it if the snapshot stands alone and is not compressed, else as a restore reads it. */
export function loadedMemory(folder: string, length: number, vm = 'vm'): Buffer {
  const reader = new SnapshotReader(folder);
  const { memory } = reader.vm(vm);
  if (reader.manifest.parent === null && memory.compression === 'none')
    return readFileSync(join(folder, memory.path));
  const ram = allocateRam(length);
  const source = openMemorySource(readChain(reader), vm);
  try {
    loadEagerly(source, ram);
    return Buffer.from(bytesAt(ram.address, length));
  } finally {
    closeMemorySource(source);
    ram.free();
  }
}

/** Every chunk was saved by exactly one of the four. */
function checkCounts(report: VmSaveReport, { cow, ram }: Machine): void {
  const { state } = cow;
  assert.is(state.remaining, 0, 'chunks left');
  assert.is(state.armed, false);
  assert.ok(state.mayDiscard, 'a balloon may give memory back again');
  const { chunks_eager, chunks_active, cow_faults, vmm_write_saves } = state.counters;
  const saved = chunks_eager + chunks_active + cow_faults + vmm_write_saves;
  assert.is(saved, Math.ceil(ram.length / state.chunkSize), JSON.stringify(report));
}
