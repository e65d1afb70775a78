import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readChain } from '../../../snapshot/image/chain.ts';
import { SnapshotReader } from '../../../snapshot/image/reader.ts';
import type { PagingState } from '../../../snapshot/restore/paging-state.ts';
import { RestoreThreads } from '../../../snapshot/restore/restore-threads.ts';
import {
  type RestoredSoftware,
  type RestoreOptions,
  restoredSoftware,
} from '../../../snapshot/restore/restored-software.ts';
import { DeviceHost } from '../../../vmm/devices/device-host.ts';
import type { DevicePlug } from '../../../vmm/devices/plug.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { startThread } from '../../../vmm/io/thread.ts';
import { HUGE_PAGE_SIZE, hvaOffset, MIB } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { Guest, withGuest } from '../../support/guest.ts';
import { processResources } from '../../support/process-resources.ts';
import { SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';

const MEMORY_BYTES = 128 * MIB;
const CHUNKS = MEMORY_BYTES / HUGE_PAGE_SIZE;
const cmdline = `dirty size=${96 * MIB} stat=20`;

const test = suite('memory that comes lazily');
const rig = new SnapshotRig();
let folder = '';
test.before(async () => {
  if (lacksKvm() !== undefined) return;
  await withGuest({ cmdline, memory_bytes: MEMORY_BYTES }, async guest => {
    await guest.until('stat', 2);
    folder = (await rig.take(guest.machine)).folder;
  });
});
test.after(() => rig.stop());

function software(options: Partial<RestoreOptions> = {}): RestoredSoftware {
  return restoredSoftware(readChain(new SnapshotReader(folder)), 'vm', {
    lazy: true,
    onDamage: error => assert.unreachable(error.message),
    ...options,
  });
}

const create = (restored = software()): Promise<Guest> =>
  Guest.create({ cmdline, memory_bytes: MEMORY_BYTES, restored });

testUnless(
  lacksKvm(),
  test,
  'is not all read before the guest runs, and then is, without being asked for',
  async () => {
    const restored = software();
    const guest = await create(restored);
    const paging = restored.paging as PagingState;
    try {
      await setTimeout(300);
      const { prefetched } = paging.counters;
      assert.ok(prefetched <= CHUNKS / 2, `${prefetched} of ${CHUNKS} chunks are there`);
      assert.not(paging.isEnded);
      guest.machine.start();
      await guest.until('stat', 1);
      await guest.machine.pause();
      await paging.ended();
      guest.machine.resume();
      // Every page is compared with what was written last before it is written again.
      await guest.until('stat', 5);
      assert.is(
        guest.events.find(({ event }) => event === 'fatal'),
        undefined,
      );
    } finally {
      await guest.stop();
    }
  },
);

testUnless(lacksKvm(), test, 'leaves nothing behind when the machine ends before all is there', async () => {
  await (await create()).stop();
  const before = processResources();
  for (const started of [false, true]) {
    const guest = await create();
    if (started) guest.machine.start();
    await guest.stop();
  }
  assert.equal(processResources(), before);
});

testUnless(lacksKvm(), test, 'is loaded by a thread that was started ahead, if there is one', async () => {
  const threads = new RestoreThreads();
  threads.startAhead();
  threads.startAhead();
  const guest = await create(software({ threads }));
  guest.machine.start();
  await guest.until('stat');
  await guest.stop();
  const before = processResources().threads;
  await threads.close();
  assert.ok(processResources().threads < before);
});

/** Changes a byte of every chunk; once more and it is as it was. */
function damageAll(): void {
  const path = join(folder, new SnapshotReader(folder).vm('vm').memory.path);
  const content = readFileSync(path);
  const file = openSync(path, 'r+');
  for (let at = 0; at < content.length; at += HUGE_PAGE_SIZE)
    writeSync(file, Uint8Array.of((content[at] as number) ^ 1), 0, 1, at);
  closeSync(file);
}

testUnless(
  lacksKvm(),
  test,
  'and turns out to be damaged keeps no device from ending that waits for it',
  async () => {
    const devices = new DeviceHost();
    const rng = devices.createRng();
    let touched: Promise<unknown> | undefined;
    const device: DevicePlug = {
      name: rng.name,
      model: rng.model,
      attach: (attachment, ram) => rng.attach(attachment, ram),
      detach: async () => {
        await touched;
        await rng.detach();
      },
    };
    let tell: (error: Error) => void = () => {};
    const damage = new Promise<Error>(resolve => {
      tell = resolve;
    });
    const restored = software({ onDamage: tell });
    const guest = await Guest.create({ cmdline, memory_bytes: MEMORY_BYTES, restored, devices: [device] });
    // What came ahead is right: the machine is made.
    damageAll();
    try {
      guest.machine.start();
      assert.match((await damage).message, 'checksum');
      const { address, length } = guest.machine.ram;
      const thread = startThread(import.meta.url, './support/toucher', {
        workerData: hvaOffset(address, length - 1),
      });
      await once(thread, 'message');
      touched = once(thread, 'message');
      const first = await Promise.race([touched, setTimeout(200, 'waits')]);
      assert.is(first, 'waits');
    } finally {
      damageAll();
      await guest.stop();
      await devices.stop();
    }
    assert.equal(await touched, [0]);
  },
);

testUnless(
  lacksKvm(),
  test,
  'and is damaged is refused while the machine is built, not waited for',
  async () => {
    damageAll();
    try {
      const before = processResources().descriptors;
      const error = await create().then(
        () => undefined,
        (error: unknown) => error,
      );
      assert.ok(error instanceof TsvmmError && error.code === 'TSVMM_E_SNAPSHOT_CORRUPT', String(error));
      assert.equal(processResources().descriptors, before);
    } finally {
      damageAll();
    }
  },
);

test.run();
