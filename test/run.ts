/**
 * Runs every test file in a process of its own and ends with one line: `N passed, N failed, N skipped`.
 *
 *   tsx test/run.ts [part of a path ...]     e.g. tsx test/run.ts vmm/ffi net/
 *
 * Unit tests run side by side; those that use /dev/kvm, taps or other real resources (*.host.test.ts) run one at a
 * time, so that they do not disturb each other.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';

const testRoot = import.meta.dirname;
/** A file that hangs is ended. Long runs are asked for by these variables; a file may have several tests that obey. */
const longRun_s = Math.max(
  ...['TSVMM_FUZZ_SECONDS', 'TSVMM_TEST_SECONDS'].map(name => Number(process.env[name] ?? 0)),
);
const SNAPSHOT_S = 20;
const snapshots_s =
  SNAPSHOT_S * Number(process.env.TSVMM_CLUSTER_SNAPSHOTS ?? process.env.TSVMM_CLUSTER_RESTORES ?? 0);
const FILE_TIMEOUT_MS = 300_000 + 3 * 1000 * (longRun_s + snapshots_s);
/** Stock kernels need half an hour on an emulated processor; each step of these files has a limit of its own. */
const LINUX_TIMEOUT_MS = 3_600_000 + 3 * 1000 * SNAPSHOT_S * Number(process.env.TSVMM_LINUX_ROUNDS ?? 0);

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
}

const wanted = process.argv.slice(2);
const files = readdirSync(testRoot, { recursive: true, encoding: 'utf8' })
  .filter(
    file => file.endsWith('.test.ts') && (wanted.length === 0 || wanted.some(part => file.includes(part))),
  )
  .sort();

function runFile(file: string): Promise<Outcome> {
  const started = performance.now();
  const timeout_ms = file.startsWith('linux/') ? LINUX_TIMEOUT_MS : FILE_TIMEOUT_MS;
  const child = spawn(process.execPath, ['--import', 'tsx', join(testRoot, file)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FORCE_COLOR: '0' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), timeout_ms);
  return new Promise(resolve => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const outcome = parseSummary(output);
      // A file that ended badly without naming a failed test (crash, time-out, no summary) is itself a failure.
      if (code !== 0 && outcome.failed === 0) outcome.failed = 1;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      const failed = outcome.failed > 0 ? `, ${outcome.failed} FAILED` : '';
      const skipped = outcome.skipped > 0 ? `, ${outcome.skipped} skipped` : '';
      console.log(
        `${relative('.', join(testRoot, file))}: ${outcome.passed} passed${failed}${skipped} (${seconds} s)`,
      );
      if (outcome.failed > 0) console.log(output + (signal === null ? '' : `ended by ${signal}\n`));
      else for (const reason of output.match(/^skipped: .*$/gm) ?? []) console.log(`  ${reason}`);
      resolve(outcome);
    });
  });
}

/** uvu counts a skipped test in the total too. */
function parseSummary(output: string): Outcome {
  const count = (label: string) => Number(new RegExp(`${label}:\\s+(\\d+)`).exec(output)?.[1] ?? 0);
  const skipped = count('Skipped');
  const passed = count('Passed');
  return { passed, skipped, failed: Math.max(0, count('Total') - passed - skipped) };
}

async function runAll(queue: string[], width: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const lanes = Array.from({ length: width }, async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift())
      outcomes.push(await runFile(file));
  });
  await Promise.all(lanes);
  return outcomes;
}

const isHostTest = (file: string) => file.endsWith('.host.test.ts');
const outcomes = [
  ...(await runAll(
    files.filter(file => !isHostTest(file)),
    availableParallelism(),
  )),
  ...(await runAll(files.filter(isHostTest), 1)),
];
const sum = (key: keyof Outcome) => outcomes.reduce((total, outcome) => total + outcome[key], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exitCode = sum('failed') > 0 || sum('passed') === 0 ? 1 : 0;
