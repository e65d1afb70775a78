/** Two guests that pause together: each is saved as it was at its own cut, and the failure of one is not the other's. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CopyPools } from '../../../snapshot/cow/copy-pool.ts';
import { SnapshotFolder } from '../../../snapshot/image/store.ts';
import type { FreezableDisk } from '../../../snapshot/transient/transient.ts';
import { VmSnapshotter } from '../../../snapshot/vm-snapshotter.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { type Guest, withGuest } from '../../support/guest.ts';
import { emptyTimeline, SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';
import { FrozenCopy } from '../oracle/frozen-copy.ts';

const test = suite('guests that pause together');
const rig = new SnapshotRig();
const pools = [new CopyPools(), new CopyPools()];
test.after(async () => {
  await rig.stop();
  for (const pool of pools) pool.close();
});

const guestOptions = { cmdline: 'dirty size=8M style=mixed pattern=random stat=100', memory_bytes: 24 * MIB };
let epoch = 0;

const withTwo = (body: (guests: readonly [Guest, Guest]) => Promise<void>) =>
  withGuest(guestOptions, first => withGuest(guestOptions, second => body([first, second])));

/** An image for each, as images name VMs by what they are called, and both are called the same. */
async function begin(guests: readonly Guest[], disks: readonly FreezableDisk[][] = []) {
  const images = guests.map(() => {
    const store = { cluster: 'test', folder: rig.folder, configuration: {} };
    const options = { method: 'hotsnap', cow: 'mprotect', filter: 'off', compression: 'none' } as const;
    return new SnapshotFolder(store, `s${++epoch}`, epoch, options);
  });
  const snapshotters = await Promise.all(
    guests.map(({ machine }, index) =>
      VmSnapshotter.prepare(
        machine,
        { cow: 'mprotect' },
        (images[index] as SnapshotFolder).writer,
        rig.saver,
        pools[index] as CopyPools,
        disks[index],
      ),
    ),
  );
  return { images, snapshotters, pauses: (images[0] as SnapshotFolder).pauses };
}

/** Resolves when the guest has said that it works on without finding an error. */
async function goesOn(guest: Guest): Promise<void> {
  const { machine, events } = guest;
  assert.is(machine.state, 'running');
  const seen = events.filter(({ event }) => event === 'stat').length;
  assert.is((await guest.until('stat', seen + 1)).errors, 0);
}

testUnless(lacksKvm(), test, 'each is saved as it was at its cut', () =>
  withTwo(async guests => {
    const { images, snapshotters, pauses } = await begin(guests);
    const copies = guests.map(({ machine }) => new FrozenCopy(machine));
    for (const [index, { transient }] of snapshotters.entries())
      transient.whileFrozen = () => copies[index]?.take();
    const reports = await Promise.all(
      snapshotters.map(snapshotter => snapshotter.cutTogether(pauses, () => {})),
    );
    const [first, second] = reports.map(({ suspended_us, cut_us }) => ({ suspended_us, cut_us }));
    assert.ok(
      Number(second?.suspended_us) < Number(first?.cut_us),
      'asked to stop before the other was frozen',
    );
    for (const [index, snapshotter] of snapshotters.entries()) {
      const image = images[index] as SnapshotFolder;
      const { manifest } = await snapshotter.save();
      image.addVm({ ...manifest, ports: [], disks: [] });
      await image.writeChannel({ epoch: epoch - 1 + index, frames: [] });
      await image.publish(emptyTimeline(`s${epoch - 1 + index}`, epoch - 1 + index));
      const folder = join(rig.folder, `s${epoch - 1 + index}`);
      copies[index]?.checkMemory(folder);
      copies[index]?.checkState(snapshotter);
      copies[index]?.free();
    }
    for (const guest of guests) await goesOn(guest);
  }),
);

testUnless(
  lacksKvm(),
  test,
  'one that fails when all is locked fails alone; both run on, and can be cut again',
  () =>
    withTwo(async guests => {
      const broken: FreezableDisk = {
        freeze: () => {
          throw new Error('no room for a layer');
        },
      };
      const { images, snapshotters, pauses } = await begin(guests, [[broken], []]);
      const crossed: number[] = [];
      const outcomes = await Promise.allSettled(
        snapshotters.map((snapshotter, index) => snapshotter.cutTogether(pauses, () => crossed.push(index))),
      );
      assert.equal(
        outcomes.map(({ status }) => status),
        ['rejected', 'fulfilled'],
      );
      assert.equal(crossed, [1]);
      for (const snapshotter of snapshotters) await snapshotter.abort();
      for (const image of images) await image.discard();
      for (const guest of guests) await goesOn(guest);

      const again = await begin(guests);
      await Promise.all(
        again.snapshotters.map(snapshotter => snapshotter.cutTogether(again.pauses, () => {})),
      );
      for (const snapshotter of again.snapshotters) await snapshotter.abort();
      for (const image of again.images) await image.discard();
    }),
);

testUnless(lacksKvm(), test, 'given up while it pauses: neither stays armed, both run on', () =>
  withTwo(async guests => {
    const { images, snapshotters, pauses } = await begin(guests);
    const cutting = snapshotters.map(snapshotter => snapshotter.cutTogether(pauses, () => {}));
    const aborting = snapshotters.map(snapshotter => snapshotter.abort());
    const outcomes = await Promise.allSettled(cutting);
    await Promise.all(aborting);
    for (const outcome of outcomes) assert.is(outcome.status, 'rejected');
    for (const { machine } of guests) assert.not.ok(machine.cow.state.armed);
    for (const image of images) await image.discard();
    for (const guest of guests) await goesOn(guest);
  }),
);

test.run();
