import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SerialState } from '../../../vmm/devices/serial/state.ts';
import { Uart } from '../../../vmm/devices/serial/uart.ts';
import { COALESCED_RING_PAGE } from '../../../vmm/kvm/constants.ts';
import { kvmCoalescedMmio, kvmCoalescedMmioRing } from '../../../vmm/kvm/layouts.ts';
import { PAGE_SIZE } from '../../../vmm/memory/address.ts';
import { CoalescedRing } from '../../../vmm/vcpu/coalesced-ring.ts';
import { SerialOutput } from '../../../vmm/vcpu/serial-output.ts';

const RING = COALESCED_RING_PAGE * PAGE_SIZE;
const QUEUED = 160;

/** A port whose guest has printed `printed` bytes, of which KVM has queued the last ones. */
class Bench {
  readonly serial = new SerialState(SerialState.allocate());
  readonly output: SerialOutput;
  readonly printed: number;

  constructor(printed: number) {
    this.printed = printed;
    const shared = new DataView(new ArrayBuffer(RING + PAGE_SIZE));
    const uart = new Uart(this.serial, {
      line: { set: () => {} },
      outputReady: () => {},
      awaitRoom: () => {},
      setCoalescing: () => {},
    });
    this.output = new SerialOutput(this.serial, new CoalescedRing(shared, uart));
    for (let i = 0; i < printed - QUEUED; i++) this.serial.output.push(i & 0xff);
    const entries = RING + kvmCoalescedMmioRing.size;
    for (let i = 0; i < QUEUED; i++)
      shared.setUint8(
        entries + i * kvmCoalescedMmio.size + kvmCoalescedMmio.offsets.data,
        (printed - QUEUED + i) & 0xff,
      );
    shared.setUint32(RING + kvmCoalescedMmioRing.offsets.last, QUEUED, true);
  }

  fetch(withQueued = true): Uint8Array {
    return Buffer.concat(this.output.fetch({ withQueued }));
  }

  get expected(): Uint8Array {
    return Uint8Array.from({ length: this.printed }, (_, i) => i & 0xff);
  }
}

const capacity = new SerialState(SerialState.allocate()).output.free;
const test = suite('SerialOutput');

for (const full of [0, 10, capacity]) {
  test(`fetch(): nothing is lost when the output has room for ${full} of what is queued`, () => {
    const bench = new Bench(capacity - full + QUEUED);
    assert.equal(bench.fetch(), Buffer.from(bench.expected));
    assert.is(bench.serial.output.droppedBytes, 0);
    assert.is(bench.fetch().length, 0);
  });
}

test('fetch(): what is queued waits while a vCPU is in the port', () => {
  const bench = new Bench(500);
  bench.serial.lock.acquire();
  const first = bench.fetch();
  assert.is(first.length, 500 - QUEUED);
  bench.serial.lock.release();
  assert.equal(Buffer.concat([first, bench.fetch()]), Buffer.from(bench.expected));
});

test('fetch(): without what is queued, on demand', () => {
  assert.is(new Bench(500).fetch(false).length, 500 - QUEUED);
});

test('makeRoom(): the output is empty, and what was there comes first', () => {
  const bench = new Bench(capacity + QUEUED);
  bench.output.makeRoom();
  assert.is(bench.serial.output.free, capacity);
  assert.equal(bench.fetch(), Buffer.from(bench.expected));
});

test.run();
