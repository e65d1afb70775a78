/** What goes wrong while a snapshot is written: the VM does not notice, nothing half is visible, space is given back. */
import { execFileSync, fork } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { listSnapshots, removePartial } from '../../../snapshot/image/list.ts';
import { removeSnapshots } from '../../../snapshot/image/remove.ts';
import type { VmSnapshotOptions } from '../../../snapshot/vm-snapshotter.ts';
import { type ErrorCode, TsvmmError } from '../../../vmm/errors.ts';
import { KIB, MIB } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { type Guest, withGuest } from '../../support/guest.ts';
import { type SnapshotHooks, SnapshotRig, type TakeOptions } from '../../support/snapshots.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { testUnless } from '../../support.ts';
import { FrozenCopy } from '../oracle/frozen-copy.ts';

const test = suite('a snapshot that fails');
const rig = new SnapshotRig();
test.after(() => rig.stop());

const config = { cmdline: 'dirty size=48M stat=50', memory_bytes: 64 * MIB };

/** How the snapshot that fails is taken. */
interface Kind extends VmSnapshotOptions {
  readonly name: string;
  readonly incremental: boolean;
  /** Too little for its memory. */
  readonly room: number;
}
const plain = { incremental: false, room: 4 * MIB };
const kinds: readonly Kind[] = [
  { name: 'mprotect', cow: 'mprotect', ...plain },
  { name: 'userfaultfd', cow: 'userfaultfd', ...plain },
  { name: 'zstd', cow: 'mprotect', compression: 'zstd', incremental: false, room: 16 * KIB },
  { name: 'incremental', cow: 'mprotect', incremental: true, room: 64 * KIB },
];

/** The options, with a parent if it is to have one. */
async function optionsOf(
  { cow, compression = 'none', incremental }: Kind,
  rig: SnapshotRig,
  { machine }: Guest,
): Promise<TakeOptions> {
  const parent = incremental ? await rig.take(machine) : undefined;
  return { cow, compression, parent };
}

/** The guest runs, finds its memory as it wrote it, and can be snapshotted. */
async function assertUnharmed(guest: Guest): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await guest.until('stat', guest.events.filter(({ event }) => event === 'stat').length);
  }
  assert.is(
    guest.events.find(({ event }) => event === 'fatal'),
    undefined,
  );
  assert.is(guest.machine.cow.state.armed, false);
  assert.ok(guest.machine.cow.state.mayDiscard);
  const copy = new FrozenCopy(guest.machine);
  try {
    copy.check(await rig.take(guest.machine, { cow: 'mprotect' }, { frozen: () => copy.take() }));
  } finally {
    copy.free();
  }
}

async function failureOf(attempt: Promise<unknown>, code: ErrorCode): Promise<TsvmmError> {
  const error = await attempt.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.instance(error, TsvmmError);
  assert.is((error as TsvmmError).code, code, (error as Error).message);
  return error as TsvmmError;
}

const lacksRoot = process.getuid?.() === 0 ? undefined : 'mounting a file system needs root';

for (const kind of kinds) {
  const { name } = kind;
  testUnless(
    lacksKvm() ?? lacksRoot,
    test,
    `${name}: for want of space gives TSVMM_E_DISK and all space back`,
    () =>
      withGuest(config, async guest => {
        const folder = join(temporaryFolder(), 'small');
        mkdirSync(folder);
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128M', 'tmpfs', folder]);
        const small = new SnapshotRig(folder);
        try {
          const options = await optionsOf(kind, small, guest);
          const free = statfsSync(folder);
          writeFileSync(join(folder, '.filler'), new Uint8Array(free.bavail * free.bsize - kind.room));
          const there = readdirSync(folder);
          const before = statfsSync(folder).bfree;
          const error = await failureOf(small.take(guest.machine, options), 'TSVMM_E_DISK');
          assert.match(String(error.hint), /space/);
          assert.equal(readdirSync(folder), there);
          assert.is(statfsSync(folder).bfree, before);
        } finally {
          await small.stop();
          execFileSync('umount', [folder]);
        }
        await assertUnharmed(guest);
      }),
  );

  testUnless(lacksKvm(), test, `${name}: for a write error gives TSVMM_E_DISK`, () =>
    withGuest(config, async guest => {
      const hooks: SnapshotHooks = { prepared: ({ memoryFd }) => replaceFile(memoryFd, '/dev/null') };
      const options = await optionsOf(kind, rig, guest);
      const error = await failureOf(rig.take(guest.machine, options, hooks), 'TSVMM_E_DISK');
      assert.match(String(error.cause), /EBADF/);
      await assertUnharmed(guest);
    }),
  );

  testUnless(lacksKvm(), test, `${name}: abort() at any time leaves the VM alone, again and again`, () =>
    withGuest(config, async guest => {
      const options = await optionsOf(kind, rig, guest);
      for (const delay_ms of [0, 1, 5, 20]) {
        let aborting: Promise<void> | undefined;
        const hooks: SnapshotHooks = {
          cut: snapshotter => {
            aborting = setTimeout(delay_ms).then(() => snapshotter.abort());
          },
        };
        // It may have been quicker than the abort.
        await rig.take(guest.machine, options, hooks).catch((error: unknown) => {
          assert.is((error as TsvmmError).code, 'TSVMM_E_INTERRUPTED', String(error));
        });
        await aborting;
      }
      const hooks: SnapshotHooks = { prepared: snapshotter => snapshotter.abort() };
      await rig.take(guest.machine, options, hooks).catch(() => {});
      await assertUnharmed(guest);
    }),
  );
}

/** Puts another file, opened for reading, in the place of a file descriptor. */
function replaceFile(fd: number, path: string): void {
  closeSync(fd);
  const others: number[] = [];
  for (let opened = openSync(path, 'r'); opened !== fd; opened = openSync(path, 'r')) {
    others.push(opened);
    if (opened > fd) throw new Error(`descriptor ${fd} is not given again`);
  }
  for (const other of others) closeSync(other);
}

for (const incremental of [false, true]) {
  const name = `whose process is killed is not listed, and goes with removePartial()${incremental ? ', incremental and compressed' : ''}`;
  testUnless(lacksKvm(), test, name, async () => {
    const folder = temporaryFolder();
    const program = fileURLToPath(new URL('./killed-child.ts', import.meta.url));
    const args = [folder, ...(incremental ? ['incremental'] : [])];
    const child = fork(program, args, { execArgv: ['--import', 'tsx'], stdio: 'inherit' });
    const published = () => readdirSync(folder).filter(entry => !entry.startsWith('.'));
    const isWriting = () =>
      published().length === Number(incremental) &&
      readdirSync(folder).some(entry => {
        const image = join(folder, entry, 'vms/vm/memory.img');
        return entry.startsWith('.') && existsSync(image) && statSync(image).blocks > 0;
      });
    while (!isWriting()) {
      assert.is(child.exitCode, null);
      await setTimeout(1);
    }
    child.kill('SIGKILL');
    await new Promise(resolve => child.once('exit', resolve));

    const kept = published();
    assert.is(readdirSync(folder).length, kept.length + 1);
    assert.equal(
      listSnapshots(folder).map(snapshot => snapshot.name),
      kept,
    );
    removePartial(folder, () => true);
    assert.is(readdirSync(folder).length, kept.length + 1, 'somebody else is at work there');
    removePartial(folder, pid => pid !== child.pid);
    assert.equal(readdirSync(folder), kept);
    // The lock that the child held on its parent went with it.
    removeSnapshots(
      kept.map(entry => join(folder, entry)),
      join(folder, '..'),
    );
  });
}

test.run();
