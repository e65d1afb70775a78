import { writeFileSync } from 'node:fs';

/**
 * sched(7), "The autogroup feature": the processes of a session share the processors as one group, whose nice value is
 * in this file. A session that only computes gets little beside one whose threads sleep and wake up all the time, as
 * those of a cluster that talks do: on Linux 6.18 8% was measured instead of half.
 */
const AUTOGROUP = '/proc/self/autogroup';
/** With which a restore beside eight busy guests on two processors gets about what it gets without groups. */
const START_NICE = -3;
/** After the guests were let run: until they have code and memory at hand, as those of an older cluster have. */
const SETTLING_MS = 1000;

/**
 * Gives the session of this process, which is to be its own, precedence while a cluster starts. Call what it answers when
 * the guests run. Does nothing where the kernel has no such groups, or lets only root raise a priority.
 */
export function hastenStart(): () => void {
  if (!setNice(START_NICE)) return () => {};
  return () => void setTimeout(() => setNice(0), SETTLING_MS).unref();
}

function setNice(nice: number): boolean {
  try {
    writeFileSync(AUTOGROUP, String(nice));
    return true;
  } catch {
    return false;
  }
}
