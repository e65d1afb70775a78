import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../../../vmm/memory/address.ts';
import { residentMemory } from '../guests/resident.ts';
import type { Contestant, Sample } from '../harness.ts';
import { BootingChild } from './child.ts';
import { timingMarks } from './timing-marks.ts';

export const WHOLE_COMMAND = 'tsvmm run';
/** Sample names of the steps, in their order. */
export const STEP_PREFIX = 'step ';

/** The command as a user types it, from the start of its process to the guest's ready line. */
export class WholeCommand implements Contestant {
  readonly name = WHOLE_COMMAND;
  private readonly directory = mkdtempSync(join(tmpdir(), 'tsvmm-bench-'));
  private readonly file = join(this.directory, 'cluster.yaml');
  private readonly memory_bytes: number;

  constructor(memory_bytes: number) {
    this.memory_bytes = memory_bytes;
    const vm = `{ image: bench, memory: ${memory_bytes / MIB}MiB, args: [idle, stat=0] }`;
    writeFileSync(this.file, `name: bench-boot-${process.pid}\nvms:\n  vm: ${vm}\n`);
  }

  async measure(): Promise<Sample> {
    const words = [...process.execArgv, process.argv[1] as string, 'run', this.file];
    const child = new BootingChild(process.execPath, words, { ...process.env, TSVMM_TIMING: '1' });
    try {
      const ready_ms = await child.ready();
      const { overhead_mib, private_mib } = residentMemory(child.pid, this.memory_bytes);
      await child.end('SIGINT');
      return { ready_ms, overhead_mib, private_mib, ...steps(child.stderr, ready_ms) };
    } finally {
      await child.end('SIGKILL');
    }
  }

  close(): void {
    rmSync(this.directory, { recursive: true });
  }
}

/** What Node.js tells of the steps is a little less than what we measure from outside. */
function steps(stderr: string, ready_ms: number): Sample {
  const marks = timingMarks(stderr);
  const first = marks[0]?.at_ms ?? 0;
  const last = marks.at(-1)?.at_ms ?? 0;
  const spans = marks
    .slice(0, -1)
    .map(({ at_ms, name }, i) => [`${STEP_PREFIX}${name}`, (marks[i + 1]?.at_ms ?? at_ms) - at_ms]);
  return {
    [`${STEP_PREFIX}Node.js and CLI`]: first,
    ...Object.fromEntries(spans),
    [`${STEP_PREFIX}unseen from inside`]: ready_ms - last,
  };
}
