/**
 * SIGKILL at random moments: a process that writes, flushes and freezes a disk is killed, the disk is opened again,
 * and every sector must be what was flushed last or something written there since. 200 times on a few disks.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDisk } from '../../../snapshot/disk/create.ts';
import { DiskFolder } from '../../../snapshot/disk/disk-folder.ts';
import { compileAll } from '../../support/compiled.ts';
import { DiskRig } from '../../support/disk-rig.ts';
import { Random } from '../../support/random.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { BLOCK, BLOCKS, SECTORS, versionOf, WHOLE_BLOCKS } from './crash-content.ts';

const ROUNDS = 200;
/** After so many rounds a new disk is taken, as layers add up. */
const ROUNDS_PER_DISK = 20;
const LANES = 2;
const root = temporaryFolder();
const compiled = compileAll();

type Event =
  | 'ready'
  | 'flushed'
  | { readonly issued: number; readonly sector: number; readonly count: number };

/** Versions that each sector may have, the one that was flushed first. */
class Expectation {
  readonly history: number[][] = Array.from({ length: SECTORS }, () => [0]);

  apply(event: Event): void {
    if (event === 'flushed') {
      for (const versions of this.history) versions.splice(0, versions.length - 1);
    } else if (event !== 'ready') {
      for (let i = 0; i < event.count; i++) this.history[event.sector + i]?.push(event.issued);
    }
  }

  /** Compares with what is there, which is what holds from now on: after all, nobody can take it back. */
  compare(content: Uint8Array, what: string): void {
    for (let sector = 0; sector < SECTORS; sector++) {
      const version = versionOf(sector, content.subarray(sector * 512, (sector + 1) * 512));
      const allowed = this.history[sector] as number[];
      if (version === undefined || !allowed.includes(version))
        throw new Error(`${what}: sector ${sector} is version ${version}, not one of ${allowed}`);
      const block = Math.floor(sector / 8);
      if (block < WHOLE_BLOCKS && sector % 8 > 0 && version !== this.history[sector - 1]?.[0])
        throw new Error(`${what}: block ${block} is a mixture of versions`);
      this.history[sector] = [version];
    }
  }
}

/** Runs the child until it has said it is ready and `life_ms` more, kills it, and returns what it said. */
async function runAndKill(args: string[], life_ms: number): Promise<{ events: Event[]; errors: string }> {
  const script = join(compiled, 'test/snapshot/disk/crash-child.js');
  const child: ChildProcess = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ready = new Promise<void>(resolve => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.includes('"ready"')) resolve();
    });
  });
  const closed = once(child, 'close');
  await Promise.race([ready, closed]);
  await sleep(life_ms);
  child.kill('SIGKILL');
  await closed;
  const lines = output.split('\n').slice(0, -1);
  return { events: lines.map(line => JSON.parse(line) as Event), errors };
}

/** Rounds on one disk after the other; returns how many requests and flushes they survived. */
async function lane(index: number, rounds: number): Promise<{ requests: number; flushes: number }> {
  const random = new Random(index);
  const totals = { requests: 0, flushes: 0 };
  let path = '';
  let expectation = new Expectation();
  let nextVersion = 1;
  for (let round = 0; round < rounds; round++) {
    if (round % ROUNDS_PER_DISK === 0) {
      path = join(root, `disk-${index}-${round}`);
      await createDisk(path, { size: BLOCKS * BLOCK });
      expectation = new Expectation();
    }
    const mode = round % 10 === 9 ? 'thread' : 'inline';
    const args = [path, `${index * 1000 + round}`, `${nextVersion}`, mode];
    const { events, errors } = await runAndKill(args, random.below(40));
    const what = `lane ${index}, round ${round} (${mode})`;
    assert.is(errors, '', what);
    assert.ok(events.includes('ready'), `${what}: the child did not start`);
    for (const event of events) {
      expectation.apply(event);
      if (event === 'flushed') totals.flushes++;
      else if (event !== 'ready') totals.requests++;
      if (typeof event === 'object') nextVersion = Math.max(nextVersion, event.issued + 1);
    }
    const rig = await DiskRig.open(path, { writable: false });
    expectation.compare(rig.user.read(0, BLOCKS * BLOCK), what);
    rig.drop();
  }
  return totals;
}

const test = suite('crash');

test(`${ROUNDS} times SIGKILL lose nothing that was flushed and make nothing that was not written`, async () => {
  const lanes = await Promise.all(Array.from({ length: LANES }, (_, i) => lane(i, ROUNDS / LANES)));
  const requests = lanes.reduce((sum, lane) => sum + lane.requests, 0);
  const flushes = lanes.reduce((sum, lane) => sum + lane.flushes, 0);
  assert.ok(requests > ROUNDS && flushes > ROUNDS / 2, `only ${requests} requests and ${flushes} flushes`);
  console.log(`${ROUNDS} crashes among ${requests} requests and ${flushes} flushes`);
});

test('a process that is killed leaves no lock behind', async () => {
  const path = join(root, 'locked');
  await createDisk(path, { size: BLOCKS * BLOCK });
  await runAndKill([path, '1', '1', 'thread'], 0);
  (await DiskFolder.open(path, { writable: true })).close();
});

test.run();
