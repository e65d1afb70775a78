import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { VirtioSlot } from '../../../vmm/devices/virtio/slot.ts';
import { VirtioState } from '../../../vmm/devices/virtio/state.ts';
import type { Vcpu } from '../../../vmm/kvm/vcpu.ts';
import type { Machine } from '../../../vmm/machine.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { Guest, withGuest } from '../../support/guest.ts';
import { restored, SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';

const test = suite('loadVmState()');
const rig = new SnapshotRig();
test.after(() => rig.stop());

/** The bench guest gives pin n of the IOAPIC this vector (guest-images/bench/cpu/layout.h). */
const FIRST_PIN_VECTOR = 0x30;
/** Of the serial port's interrupt enable register. */
const TRANSMITTER_EMPTY = 2;
/** Interrupt request register: eight words of 32 bits, 16 bytes apart (Intel SDM vol. 3A, section 11.8.4). */
const IRR = 0x200;

function isRequested(vcpu: Vcpu, vector: number): boolean {
  const { bytes } = vcpu.get('lapic');
  const registers = new DataView(bytes.buffer, bytes.byteOffset);
  return ((registers.getUint32(IRR + 16 * (vector >> 5), true) >>> (vector & 31)) & 1) === 1;
}

const deviceOf = ({ slots }: Machine): VirtioSlot => slots[0] as VirtioSlot;

testUnless(lacksKvm(), test, 'a device with something to tell interrupts again after a restore', async () => {
  await withGuest({ cmdline: 'rng' }, async guest => {
    await guest.until('stat');
    const { folder } = await rig.take(
      guest.machine,
      { cow: 'mprotect' },
      // As if it had come between the capture of the APIC and the device's lock.
      {
        prepared: () =>
          new VirtioState(
            deviceOf(guest.machine).attachment.state,
            deviceOf(guest.machine).attachment.model,
          ).setInterrupt(1),
      },
    );
    const again = await Guest.create({ cmdline: 'rng', restored: restored(folder) });
    try {
      const [vcpu] = again.machine.vcpus;
      assert.ok(isRequested(vcpu as Vcpu, FIRST_PIN_VECTOR + deviceOf(again.machine).irq));
      again.machine.start();
      await again.until('stat');
      assert.is(
        again.events.find(({ event }) => event === 'fatal'),
        undefined,
      );
    } finally {
      await again.stop();
    }
  });
});

testUnless(
  lacksKvm(),
  test,
  'writes exit where the driver waits for an interrupt after each, and are queued elsewhere',
  async () => {
    await withGuest({ cmdline: 'rng' }, async guest => {
      await guest.until('stat');
      const { serial } = guest.machine;
      assert.ok(serial.coalescing);
      for (const waits of [true, false]) {
        const prepared = () => {
          serial.interruptEnable = waits ? TRANSMITTER_EMPTY : 0;
          // Neither is taken from the snapshot: these are the host's.
          serial.coalescing = waits;
        };
        const { folder } = await rig.take(guest.machine, { cow: 'mprotect' }, { prepared });
        serial.coalescing = true;
        const again = await Guest.create({ cmdline: 'rng', restored: restored(folder) });
        try {
          assert.is(again.machine.serial.coalescing, !waits);
          again.machine.start();
          await again.until('stat');
          const { pioExits = 0 } = again.machine.stats.vcpus[0] ?? {};
          assert.is(pioExits >= again.console.length, waits, `${pioExits} exits`);
        } finally {
          await again.stop();
        }
      }
    });
  },
);

test.run();
