/** What goes wrong while a snapshot is written: the VM does not notice, nothing half is visible, space is given back. */
import { execFileSync, fork } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CowMechanismName } from '../../../snapshot/cow/mechanism.ts';
import { listSnapshots, removePartial } from '../../../snapshot/image/list.ts';
import { type ErrorCode, TsvmmError } from '../../../vmm/errors.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { type Guest, withGuest } from '../../support/guest.ts';
import { type SnapshotHooks, SnapshotRig } from '../../support/snapshots.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { testUnless } from '../../support.ts';
import { FrozenCopy } from '../oracle/frozen-copy.ts';

const test = suite('a snapshot that fails');
const rig = new SnapshotRig();
test.after(() => rig.stop());

const config = { cmdline: 'dirty size=48M stat=50', memory_bytes: 64 * MIB };
const mechanisms: readonly CowMechanismName[] = ['mprotect', 'userfaultfd'];

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

for (const cow of mechanisms) {
  testUnless(
    lacksKvm() ?? lacksRoot,
    test,
    `${cow}: for want of space gives TSVMM_E_DISK and all space back`,
    () =>
      withGuest(config, async guest => {
        const folder = join(temporaryFolder(), 'small');
        mkdirSync(folder);
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16M', 'tmpfs', folder]);
        const small = new SnapshotRig(folder);
        try {
          const before = statfsSync(folder).bfree;
          const error = await failureOf(small.take(guest.machine, { cow }), 'TSVMM_E_DISK');
          assert.match(String(error.hint), /space/);
          assert.equal(readdirSync(folder), []);
          assert.is(statfsSync(folder).bfree, before);
        } finally {
          await small.stop();
          execFileSync('umount', [folder]);
        }
        await assertUnharmed(guest);
      }),
  );

  testUnless(lacksKvm(), test, `${cow}: for a write error gives TSVMM_E_DISK`, () =>
    withGuest(config, async guest => {
      const hooks: SnapshotHooks = { prepared: ({ memoryFd }) => replaceFile(memoryFd, '/dev/null') };
      const error = await failureOf(rig.take(guest.machine, { cow }, hooks), 'TSVMM_E_DISK');
      assert.match(String(error.cause), /EBADF/);
      await assertUnharmed(guest);
    }),
  );

  testUnless(lacksKvm(), test, `${cow}: abort() at any time leaves the VM alone, again and again`, () =>
    withGuest(config, async guest => {
      for (const delay_ms of [0, 1, 5, 20]) {
        let aborting: Promise<void> | undefined;
        const hooks: SnapshotHooks = {
          cut: snapshotter => {
            aborting = setTimeout(delay_ms).then(() => snapshotter.abort());
          },
        };
        // It may have been quicker than the abort.
        await rig.take(guest.machine, { cow }, hooks).catch((error: unknown) => {
          assert.is((error as TsvmmError).code, 'TSVMM_E_INTERRUPTED', String(error));
        });
        await aborting;
      }
      const hooks: SnapshotHooks = { prepared: snapshotter => snapshotter.abort() };
      await rig.take(guest.machine, { cow }, hooks).catch(() => {});
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

testUnless(
  lacksKvm(),
  test,
  'whose process is killed is not listed, and goes with removePartial()',
  async () => {
    const folder = temporaryFolder();
    const program = fileURLToPath(new URL('./killed-child.ts', import.meta.url));
    const child = fork(program, [folder], { execArgv: ['--import', 'tsx'], stdio: 'inherit' });
    const isWriting = () =>
      readdirSync(folder).some(name => {
        const image = join(folder, name, 'vms/vm/memory.img');
        return existsSync(image) && statSync(image).blocks > 0;
      });
    while (!isWriting()) {
      assert.is(child.exitCode, null);
      await setTimeout(1);
    }
    child.kill('SIGKILL');
    await new Promise(resolve => child.once('exit', resolve));

    assert.is(readdirSync(folder).length, 1);
    assert.equal(listSnapshots(folder), []);
    removePartial(folder, () => true);
    assert.is(readdirSync(folder).length, 1, 'somebody else is at work there');
    removePartial(folder, pid => pid !== child.pid);
    assert.equal(readdirSync(folder), []);
  },
);

test.run();
