import { chownSync, linkSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { asSudoUser } from '../../../cli/image/sudo-user.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { testUnless } from '../../support.ts';

const USER = 4711;
const GROUP = 4712;

const test = suite<{ folder: string; environment: NodeJS.ProcessEnv }>('asSudoUser()');
test.before.each(context => {
  context.environment = process.env;
  process.env = { ...process.env, SUDO_UID: String(USER), SUDO_GID: String(GROUP) };
});
test.after.each(({ environment }) => {
  process.env = environment;
});

const notRoot = process.getuid?.() === 0 ? undefined : 'not root, who alone can give files away';

/** What a build makes: answers paths below the home. */
function makeHome(home: string): void {
  for (const folder of ['images/debian/.build-1-x/root', 'images/debian/hash', 'cache/debian'])
    mkdirSync(join(home, folder), { recursive: true });
  for (const file of [
    'images/debian/.build-1-x/root/bin',
    'images/debian/hash/root.img',
    'cache/debian/a.deb',
  ])
    writeFileSync(join(home, file), '');
  symlinkSync('hash/root.img', join(home, 'images/debian/root.img'));
}

const ownerOf = (path: string): string => {
  const { uid, gid } = lstatSync(path);
  return `${uid}:${gid}`;
};

testUnless(
  notRoot,
  test,
  "what root makes in a user's home is the user's, all folders on the way too",
  async () => {
    const folder = temporaryFolder();
    chownSync(folder, USER, GROUP);
    const home = join(folder, '.local/share/tsvmm');
    await asSudoUser(home, async () => makeHome(home));
    for (const path of [
      ...['.local', '.local/share', '.local/share/tsvmm'].map(path => join(folder, path)),
      ...['images', 'images/debian', 'images/debian/root.img', 'images/debian/hash/root.img'].map(path =>
        join(home, path),
      ),
      ...['cache', 'cache/debian/a.deb'].map(path => join(home, path)),
    ])
      assert.is(ownerOf(path), `${USER}:${GROUP}`, path);
    // Another build is at it: in its disk these are root's.
    assert.is(ownerOf(join(home, 'images/debian/.build-1-x/root/bin')), '0:0');
  },
);

testUnless(notRoot, test, "it is the user's too when the work fails", async () => {
  const home = temporaryFolder();
  chownSync(home, USER, GROUP);
  const failing = asSudoUser(home, async () => {
    makeHome(home);
    throw new Error('no network');
  });
  await failing.then(
    () => assert.unreachable(),
    error => assert.is(error.message, 'no network'),
  );
  assert.is(ownerOf(join(home, 'images/debian')), `${USER}:${GROUP}`);
});

testUnless(notRoot, test, "a home that is root's or another user's is left alone", async () => {
  for (const owner of [0, USER + 1]) {
    const home = temporaryFolder();
    chownSync(home, owner, 0);
    await asSudoUser(home, async () => makeHome(home));
    assert.is(ownerOf(join(home, 'images/debian')), '0:0');
  }
});

testUnless(
  notRoot,
  test,
  'links lead nowhere, and neither files of others nor further names of a file are given',
  async () => {
    const system = temporaryFolder();
    writeFileSync(join(system, 'shadow'), '');
    mkdirSync(join(system, 'cache'));
    const home = temporaryFolder();
    chownSync(home, USER, GROUP);
    await asSudoUser(home, async () => {
      makeHome(home);
      symlinkSync(system, join(home, 'images/debian/system'));
      symlinkSync(join(system, 'shadow'), join(home, 'images/debian/link'));
      linkSync(join(system, 'shadow'), join(home, 'images/debian/name'));
      writeFileSync(join(home, 'images/debian/other'), '');
      chownSync(join(home, 'images/debian/other'), USER + 1, 0);
    });
    for (const path of [system, join(system, 'shadow')]) assert.is(ownerOf(path), '0:0');
    assert.is(ownerOf(join(home, 'images/debian/other')), `${USER + 1}:0`);
    assert.is(ownerOf(join(home, 'images/debian/link')), `${USER}:${GROUP}`);
  },
);

testUnless(notRoot, test, 'without sudo nothing is given', async () => {
  delete process.env.SUDO_UID;
  const home = temporaryFolder();
  chownSync(home, USER, GROUP);
  await asSudoUser(home, async () => makeHome(home));
  assert.is(ownerOf(join(home, 'images')), '0:0');
});

test.run();
