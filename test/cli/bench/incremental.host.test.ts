import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  incrementalContestants,
  incrementalTable,
  slowlyDirtyGuest,
} from '../../../cli/bench/snap/incremental.ts';
import { TsvmmSubject } from '../../../cli/bench/snap/tsvmm-subject.ts';
import { summarize } from '../../../cli/bench/statistics.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { benchImage, lacksKvm } from '../../support/bench-image.ts';
import { testUnless } from '../../support.ts';

const test = suite('bench snap --part incremental');

testUnless(lacksKvm(), test, 'an incremental snapshot is valid, and smaller than a full one', async () => {
  const subject = new TsvmmSubject(slowlyDirtyGuest(await benchImage(), 192 * MIB));
  try {
    const contestants = incrementalContestants(subject);
    const measure = async (name: string) => {
      const sample = await contestants.find(contestant => contestant.name === name)?.measure();
      assert.ok(sample !== undefined, name);
      await subject.verify();
      return sample;
    };
    const full = await measure('full');
    const incremental = await measure('incremental, zstd');
    assert.ok((full.written_mib ?? 0) > 150, `${full.written_mib}`);
    assert.ok((incremental.written_mib ?? Number.NaN) < 100, `${incremental.written_mib}`);
    const summaries = Object.fromEntries(
      Object.entries(full).map(([name, value]) => [name, summarize([value])]),
    );
    const table = incrementalTable({ full: summaries });
    assert.is(table.rows[0]?.length, table.headings.length);
  } finally {
    await subject.close();
  }
});

test.run();
