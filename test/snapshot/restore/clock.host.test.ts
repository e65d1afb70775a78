import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readChain } from '../../../snapshot/image/chain.ts';
import { SnapshotReader } from '../../../snapshot/image/reader.ts';
import { restoredSoftware } from '../../../snapshot/restore/restored-software.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { Guest } from '../../support/guest.ts';
import { SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';

const test = suite("a restored guest's clock");
const rig = new SnapshotRig();
test.after(() => rig.stop());

const STAT_MS = 20;
const HOUR_MS = 3_600_000;
/** No machine is as slow as that. */
const MINUTE_MS = 60_000;
const cmdline = `dirty size=4M rate=1000 stat=${STAT_MS}`;

const times = (guest: Guest) =>
  guest.events.filter(({ event }) => event === 'stat').map(({ t_ms }) => Number(t_ms));

/** The first times that the guest tells after it was restored, `elapsed_ms` after the cut, and its real-time clock's date. */
async function timesAfter(folder: string, elapsed_ms: number): Promise<{ found: number[]; date_s: number }> {
  const options = {
    lazy: false,
    onDamage: (error: Error) => assert.unreachable(error.message),
    elapsed_ns: () => BigInt(elapsed_ms) * 1_000_000n,
  };
  const restored = restoredSoftware(readChain(new SnapshotReader(folder)), 'vm', options);
  const again = await Guest.create({ cmdline, restored });
  try {
    again.machine.start();
    await again.until('stat', 4);
    assert.is(
      again.events.find(({ event }) => event === 'fatal'),
      undefined,
    );
    return { found: times(again), date_s: again.machine.cmos.date_s };
  } finally {
    await again.stop();
  }
}

testUnless(
  lacksKvm(),
  test,
  'goes on at the cut, or as much later as it is told to, and then as ever',
  async () => {
    const guest = await Guest.boot({ cmdline });
    await guest.until('stat', 2);
    let cut_ms = 0;
    let cut_date_s = 0;
    const prepared = () => {
      cut_ms = times(guest).at(-1) as number;
      cut_date_s = guest.machine.cmos.date_s;
    };
    const { folder } = await rig.take(guest.machine, { cow: 'mprotect' }, { prepared });
    await guest.stop();
    for (const elapsed_ms of [0, HOUR_MS]) {
      const { found, date_s } = await timesAfter(folder, elapsed_ms);
      const [first] = found as [number, ...number[]];
      assert.ok(first >= cut_ms + elapsed_ms, `${first} after ${cut_ms} and ${elapsed_ms}`);
      assert.ok(first < cut_ms + elapsed_ms + MINUTE_MS, `${first} after ${cut_ms} and ${elapsed_ms}`);
      const gone_s = date_s - cut_date_s - elapsed_ms / 1000;
      assert.ok(gone_s >= 0 && gone_s < MINUTE_MS / 1000, `${gone_s} s on the real-time clock`);
      // Timers too: but for the first, which was due, lines come at their time again, not one after the other until the
      // hour is made up. One may be late, and the next is the nearer to it.
      const span_ms = (found.at(-1) as number) - (found[1] as number);
      assert.ok(span_ms >= STAT_MS, `lines at ${found}`);
    }
  },
);

test.run();
