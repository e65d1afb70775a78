import { BootingChild } from '../boot/child.ts';
import { timingMarks } from '../boot/timing-marks.ts';
import type { Sample } from '../harness.ts';

/** The mark of TSVMM_TIMING at which the guests are let run. */
const RELEASE = 'start guests';

/** `tsvmm restore` as it is typed, from the start of its process to the next line of the guest. */
export async function restoreCommand(snapshot: string): Promise<Sample> {
  const name = `bench-restore-${process.pid}`;
  const words = [...process.execArgv, process.argv[1] as string, 'restore', snapshot, '--name', name];
  const child = new BootingChild(process.execPath, words, { ...process.env, TSVMM_TIMING: '1' });
  try {
    const total_ms = await child.said('stat');
    await child.end('SIGINT');
    const load_ms = timingMarks(child.stderr).find(({ name }) => name === RELEASE)?.at_ms ?? Number.NaN;
    return { total_ms, load_ms, line_ms: total_ms - load_ms };
  } finally {
    await child.end('SIGKILL');
  }
}
