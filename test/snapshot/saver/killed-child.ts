/** Takes snapshots into the folder given until it is killed. */
import { MIB } from '../../../vmm/memory/address.ts';
import { Guest } from '../../support/guest.ts';
import { SnapshotRig } from '../../support/snapshots.ts';

const rig = new SnapshotRig(process.argv[2]);
const guest = await Guest.boot({ cmdline: 'dirty size=48M', memory_bytes: 64 * MIB });
for (;;) rig.discard(await rig.take(guest.machine));
