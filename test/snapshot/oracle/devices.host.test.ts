/**
 * Memory that the VMM writes on the guest's behalf: disk reads, received frames, entropy, used rings, all at full rate,
 * beside the guest's own writes. Each snapshot, incremental or not, equals a plain copy made in its pause.
 */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Networks } from '../../../net/index.ts';
import { createDisk } from '../../../snapshot/disk/create.ts';
import { Disk } from '../../../snapshot/disk/disk.ts';
import { DeviceHost } from '../../../vmm/devices/device-host.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { Guest } from '../../support/guest.ts';
import { Random } from '../../support/random.ts';
import { SnapshotRig, type TakenSnapshot } from '../../support/snapshots.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { testUnless } from '../../support.ts';
import { snapshotChoices } from './cases.ts';
import { FrozenCopy } from './frozen-copy.ts';

const COUNT = Number(process.env.TSVMM_ORACLE_ROUNDS ?? 8);
const seed = Number(process.env.TSVMM_ORACLE_SEED ?? 1);
const test = suite('snapshot oracle with devices');
const rig = new SnapshotRig();
test.after(() => rig.stop());

/** A guest that receives a stream, uses its disk, reads entropy and rewrites memory; and the one that sends. */
async function withBusyGuest(vcpus: number, body: (guest: Guest) => Promise<void>): Promise<void> {
  const networks = new Networks();
  const devices = new DeviceHost();
  const path = join(temporaryFolder(), 'disk');
  const guests: Guest[] = [];
  const disks: Disk[] = [];
  try {
    await networks.create({ name: 'lan' });
    await createDisk(path, { size: 16 * MIB });
    const disk = await Disk.open(path, { name: 'disk0' });
    disks.push(disk);
    const nic = (number: number) =>
      networks.nic({ name: 'net0', network: 'lan', mac: `02:00:00:00:00:0${number}` });
    const work = 'disk size=4M op=mixed + rng rate=max + dirty size=8M style=mixed + stream-server port=7';
    guests.push(
      await Guest.boot({
        cmdline: `vcpus=${vcpus} ip=10.0.0.1/24 stat=100 ${work}`,
        memory_bytes: 48 * MIB,
        vcpus,
        devices: [devices.createRng(), disk, nic(1)],
      }),
    );
    guests.push(
      await Guest.boot({
        name: 'peer',
        cmdline: 'ip=10.0.0.2/24 stat=100 stream-client peer=10.0.0.1 port=7',
        devices: [nic(2)],
      }),
    );
    await body(guests[0] as Guest);
  } finally {
    for (const guest of guests) await guest.stop();
    for (const disk of disks) await disk.discard();
    await networks.stop();
    await devices.stop();
  }
}

const opsOf = (guest: Guest, workload: string): number =>
  Number(guest.events.filter(event => event.workload === workload).at(-1)?.ops ?? 0);

/** Until the guest has received, read and rewritten more. */
async function goOn(guest: Guest): Promise<void> {
  for (const workload of ['stream-server', 'disk', 'dirty', 'rng']) {
    const before = opsOf(guest, workload);
    const stats = () => guest.events.filter(({ event }) => event === 'stat').length;
    while (opsOf(guest, workload) === before) await guest.until('stat', stats());
  }
  assert.is(
    guest.events.find(({ event }) => event === 'fatal'),
    undefined,
  );
}

for (const vcpus of [1, 2]) {
  const name = `what disk, network and entropy write is saved as it was in the pause: ${vcpus} vCPU, ${COUNT / 2} times`;
  testUnless(lacksKvm(), test, name, () =>
    withBusyGuest(vcpus, async guest => {
      const random = new Random(seed * 1000 + vcpus);
      const copy = new FrozenCopy(guest.machine);
      let last: TakenSnapshot | undefined;
      let vmmWrites = 0;
      await goOn(guest);
      for (let i = 0; i < COUNT / 2; i++) {
        await setTimeout(random.below(30));
        const options = random.pick(snapshotChoices);
        // Every other one builds on the one before.
        const isChild = i % 2 === 1;
        const parent = isChild ? last : undefined;
        const chunkSize = isChild ? (last as TakenSnapshot).chunkSize : options.chunkSize;
        const how = { cow: options.cow, parent, ...(chunkSize === undefined ? {} : { chunkSize }) };
        const snapshot = await rig.take(guest.machine, how, { frozen: () => copy.take() });
        copy.check(snapshot);
        assert.is(snapshot.report.fallbacks, 0, 'fallbacks');
        vmmWrites += snapshot.report.vmm_write_saves;
        if (isChild) {
          rig.discard(snapshot);
          rig.discard(last as TakenSnapshot);
        } else last = snapshot;
      }
      await goOn(guest);
      assert.ok(vmmWrites > 0, 'the VMM has written protected memory');
      copy.free();
    }),
  );
}

test.run();
