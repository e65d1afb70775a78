/** Takes snapshots into the folder given until it is killed: plain ones, or compressed ones that build on a first one. */
import { MIB } from '../../../vmm/memory/address.ts';
import { Guest } from '../../support/guest.ts';
import { SnapshotRig, type TakeOptions } from '../../support/snapshots.ts';

const [, , folder, kind] = process.argv;
const rig = new SnapshotRig(folder);
const guest = await Guest.boot({ cmdline: 'dirty size=48M', memory_bytes: 64 * MIB });
const options: TakeOptions =
  kind === 'incremental'
    ? { cow: 'mprotect', compression: 'zstd', parent: await rig.take(guest.machine) }
    : { cow: 'mprotect' };
for (;;) rig.discard(await rig.take(guest.machine, options));
