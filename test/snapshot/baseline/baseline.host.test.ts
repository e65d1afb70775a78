/** The methods that hot snapshots are compared with save just as well: what they save is what was there at the cut. */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PreCopyAttempt } from '../../../snapshot/baseline/pre-copy.ts';
import { Standstill } from '../../../snapshot/baseline/standstill.ts';
import { StopCopyAttempt } from '../../../snapshot/baseline/stop-copy.ts';
import { SnapshotFolder } from '../../../snapshot/image/store.ts';
import { verifySnapshot } from '../../../snapshot/image/verify.ts';
import type { VmAttempt } from '../../../snapshot/vm-attempt.ts';
import { VmSnapshotter } from '../../../snapshot/vm-snapshotter.ts';
import type { Machine } from '../../../vmm/machine.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { Guest } from '../../support/guest.ts';
import { emptyTimeline, restored, SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';
import { FrozenCopy } from '../oracle/frozen-copy.ts';

const test = suite('baseline');
const rig = new SnapshotRig();
test.after(() => rig.stop());

type Method = 'stop-copy' | 'pre-copy';
type Begun = VmAttempt & { readonly transient: VmSnapshotter['transient'] };

const ROUNDS = Number(process.env.TSVMM_ORACLE_ROUNDS ?? 2);
const guestOptions = {
  cmdline: 'dirty size=24M style=mixed pattern=random vcpus=2 stat=100 tick=200',
  memory_bytes: 40 * MIB,
  vcpus: 2,
};
let epoch = 0;

function newImage(method: Method): { image: SnapshotFolder; folder: string } {
  const name = `${method}${++epoch}`;
  const store = { cluster: 'test', folder: rig.folder, configuration: {} };
  const image = new SnapshotFolder(store, name, epoch, {
    method,
    cow: 'mprotect',
    filter: 'off',
    compression: 'none',
  });
  return { image, folder: join(rig.folder, name) };
}

async function begin(method: Method, machine: Machine, image: SnapshotFolder): Promise<Begun> {
  if (method === 'pre-copy') return PreCopyAttempt.prepare(machine, image.writer, [], () => true);
  const inner = await VmSnapshotter.prepare(machine, { cow: 'mprotect' }, image.writer, rig.saver, rig.pools);
  return Object.assign(new StopCopyAttempt(inner, new Standstill()), { transient: inner.transient });
}

/** Takes a snapshot, compares it with a plain copy made in the pause, and answers its folder. */
async function takeAndCompare(method: Method, machine: Machine): Promise<string> {
  const { image, folder } = newImage(method);
  const attempt = await begin(method, machine, image);
  const copy = new FrozenCopy(machine);
  attempt.transient.whileFrozen = () => copy.take();
  try {
    let crossed = 0;
    await attempt.cut(() => {
      crossed++;
    });
    assert.is(crossed, 1);
    const { manifest, report } = await attempt.save();
    assert.is(machine.state, 'running', 'it runs on');
    image.addVm({ ...manifest, ports: [], disks: [] });
    await image.writeChannel({ epoch, frames: [] });
    await image.publish(emptyTimeline(`${method}${epoch}`, epoch));
    copy.checkMemory(folder);
    copy.checkState({ machine, transient: attempt.transient });
    assert.is(report.cow_faults, 0);
    for (const { what, error } of await verifySnapshot(folder)) assert.is(error, undefined, what);
    return folder;
  } finally {
    copy.free();
  }
}

async function livesOn(guest: Guest): Promise<void> {
  await guest.until('stat', guest.events.filter(({ event }) => event === 'stat').length + 2);
  const fatal = guest.events.find(({ event }) => event === 'fatal');
  assert.is(fatal, undefined, JSON.stringify(fatal));
}

for (const method of ['stop-copy', 'pre-copy'] as const) {
  testUnless(
    lacksKvm(),
    test,
    `${method}: the image is memory at the cut byte for byte, the guest lives on, so does its restored copy`,
    async () => {
      const guest = await Guest.boot(guestOptions);
      let folder = '';
      try {
        for (let round = 0; round < ROUNDS; round++) {
          await setTimeout(37 * round);
          folder = await takeAndCompare(method, guest.machine);
        }
        await livesOn(guest);
      } finally {
        await guest.stop();
      }
      const again = await Guest.create({ ...guestOptions, restored: restored(folder) });
      again.machine.start();
      try {
        await livesOn(again);
      } finally {
        await again.stop();
      }
    },
  );

  testUnless(
    lacksKvm(),
    test,
    `${method}: given up before or after its cut, the guest runs on, and the next works`,
    async () => {
      const guest = await Guest.boot(guestOptions);
      try {
        for (const isCut of [false, true]) {
          const { image } = newImage(method);
          const attempt = await begin(method, guest.machine, image);
          if (isCut) await attempt.cut(() => {});
          await attempt.abort();
          await attempt.abort();
          await image.discard();
          assert.is(guest.machine.state, 'running');
          assert.not.ok(guest.machine.cow.state.armed);
        }
        await takeAndCompare(method, guest.machine);
        await livesOn(guest);
      } finally {
        await guest.stop();
      }
    },
  );
}

test.run();
