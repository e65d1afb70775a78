import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type GuestImage, guestImages } from '../../guest-images/registry.ts';
import { ImageStore } from '../../guest-images/store.ts';
import { TsvmmError } from '../../vmm/errors.ts';

interface Context {
  root: string;
  store: ImageStore;
  builds: number;
  image: GuestImage;
}

const test = suite<Context>('ImageStore');
const options = { progress: () => {} };

test.before.each(context => {
  context.root = mkdtempSync(join(tmpdir(), 'tsvmm-images-'));
  context.builds = 0;
  mkdirSync(join(context.root, 'src/lib'), { recursive: true });
  writeFileSync(join(context.root, 'src/lib/a.c'), 'one');
  context.store = new ImageStore({
    packageRoot: context.root,
    imagesDirectory: join(context.root, 'images'),
    cacheDirectory: join(context.root, 'cache'),
  });
  context.image = {
    name: 'fake',
    summary: '',
    sources: 'src',
    files: { kernel: 'guest.elf' },
    isCompiled: true,
    loadBuilder: async () => ({
      build: async (sources, directory) => {
        context.builds++;
        const content = readFileSync(join(sources, 'lib/a.c'), 'utf8');
        if (content === 'broken') throw new TsvmmError('TSVMM_E_IMAGE_BUILD', 'broken');
        await new Promise(resolve => setTimeout(resolve, 20));
        writeFileSync(join(directory, 'guest.elf'), `built of ${content}`);
      },
    }),
  };
});
test.after.each(({ root }) => rmSync(root, { recursive: true }));

test('ensure builds a missing image, and a fresh one no more', async context => {
  const { store, image } = context;
  assert.is(await store.fresh(image), undefined);
  const first = await store.ensure(image, options);
  assert.is(first.built, true);
  assert.is(readFileSync(first.files.kernel, 'utf8'), 'built of one');
  assert.equal(await store.ensure(image, options), { files: first.files, built: false });
  assert.equal(await store.fresh(image), first.files);
  assert.is(context.builds, 1);
});

test('the plain name leads to the newest build', async ({ root, store, image }) => {
  await store.ensure(image, options);
  assert.is(readFileSync(join(root, 'images/fake/guest.elf'), 'utf8'), 'built of one');
  writeFileSync(join(root, 'src/lib/a.c'), 'two');
  await store.ensure(image, options);
  assert.is(readFileSync(join(root, 'images/fake/guest.elf'), 'utf8'), 'built of two');
});

test('a changed or added source makes it stale; going back finds the old build', async context => {
  const { root, store, image } = context;
  const { files } = await store.ensure(image, options);
  writeFileSync(join(root, 'src/b.h'), '');
  assert.is(await store.fresh(image), undefined);
  assert.is((await store.ensure(image, options)).built, true);
  rmSync(join(root, 'src/b.h'));
  assert.equal(await store.ensure(image, options), { files, built: false });
});

test('a source that was only touched keeps it fresh', async ({ root, store, image }) => {
  const { files } = await store.ensure(image, options);
  utimesSync(join(root, 'src/lib/a.c'), 1, 1);
  assert.equal(await store.fresh(image), files);
});

test('force builds in any case', async context => {
  await context.store.ensure(context.image, options);
  assert.is((await context.store.ensure(context.image, { ...options, force: true })).built, true);
  assert.is(context.builds, 2);
});

test('builds side by side all succeed and leave one image', async ({ root, store, image }) => {
  const results = await Promise.all([1, 2, 3].map(() => store.ensure(image, options)));
  assert.is(new Set(results.map(({ files }) => files.kernel)).size, 1);
  assert.is(readdirSync(join(root, 'images/fake')).filter(name => name.startsWith('.')).length, 0);
  assert.equal(await store.fresh(image), results[0]?.files);
});

test('a failed build leaves nothing behind, and the old image in place', async ({ root, store, image }) => {
  const { files } = await store.ensure(image, options);
  writeFileSync(join(root, 'src/lib/a.c'), 'broken');
  await store.ensure(image, options).then(
    () => assert.unreachable(),
    error => assert.is(error.code, 'TSVMM_E_IMAGE_BUILD'),
  );
  assert.ok(existsSync(files.kernel));
  assert.is(readdirSync(join(root, 'images/fake')).filter(name => name.startsWith('.')).length, 0);
});

test('what the host refuses a builder is told as such, and leaves no image', async ({
  root,
  store,
  image,
}) => {
  const build = async (_: string, directory: string) => {
    writeFileSync(join(directory, 'guest.elf/'), '');
  };
  const loadBuilder = async () => ({ build });
  const packages = ['redis'];
  const error = await store.ensure({ ...image, loadBuilder }, { ...options, packages }).then(
    () => assert.unreachable(),
    (reason: TsvmmError) => reason,
  );
  assert.is(error?.code, 'TSVMM_E_IMAGE_BUILD');
  assert.match(error?.hint ?? '', 'disk full');
  assert.equal(store.variants(image), []);
  assert.equal(readdirSync(join(root, 'images/fake+redis')), []);
});

test('force leaves nothing of earlier builds to the builder', async ({ store, image }) => {
  const anew: unknown[] = [];
  const loadBuilder = async () => {
    const { build } = await image.loadBuilder();
    return {
      build: async (...words: Parameters<typeof build>) => {
        anew.push(words[2].anew);
        await build(...words);
      },
    };
  };
  for (const force of [undefined, true]) await store.ensure({ ...image, loadBuilder }, { ...options, force });
  assert.equal(anew, [undefined, true]);
});

test('what a killed build left is removed by the next', async ({ root, store, image }) => {
  const abandoned = join(root, 'images/fake/.build-999999999-1');
  mkdirSync(abandoned, { recursive: true });
  await store.ensure(image, options);
  assert.not.ok(existsSync(abandoned));
});

test('at most three builds are kept', async ({ root, store, image }) => {
  for (const content of ['1', '2', '3', '4', '4']) {
    writeFileSync(join(root, 'src/lib/a.c'), content);
    await store.ensure(image, { ...options, force: true });
  }
  const builds = readdirSync(join(root, 'images/fake')).filter(name => name.includes('-'));
  assert.is(builds.length, 3);
});

/** An image of three files, whose disk tells its packages. */
const diskImage: GuestImage = {
  name: 'distro',
  summary: '',
  sources: 'src',
  files: { kernel: 'vmlinuz', initrd: 'initrd.img', disk: 'root.img' },
  isCompiled: false,
  takesPackages: true,
  loadBuilder: async () => ({
    build: async (_, directory, { packages }) => {
      for (const file of ['vmlinuz', 'initrd.img']) writeFileSync(join(directory, file), file);
      writeFileSync(join(directory, 'root.img'), packages.join(' '));
    },
  }),
};

test('an image of several files is there when all of them are', async ({ root, store }) => {
  const { files } = await store.ensure(diskImage, options);
  assert.is(readFileSync(files.initrd as string, 'utf8'), 'initrd.img');
  assert.is(readFileSync(join(root, 'images/distro/root.img'), 'utf8'), '');
  rmSync(files.disk as string);
  assert.is(await store.fresh(diskImage), undefined);
  assert.is(store.latest(diskImage), undefined);
});

test('each choice of packages is an image of its own, whatever their order', async ({ root, store }) => {
  await store.ensure(diskImage, options);
  const packages = ['redis-server', 'nginx', 'nginx'];
  const { files } = await store.ensure(diskImage, { ...options, packages });
  assert.is(readFileSync(files.disk as string, 'utf8'), 'nginx redis-server');
  assert.ok(existsSync(join(root, 'images/distro+nginx,redis-server/root.img')));
  assert.equal(await store.fresh(diskImage, ['nginx', 'redis-server']), files);
  assert.equal(store.variants(diskImage), [['nginx', 'redis-server']]);
});

test('a disk that is built anew leaves the old one where snapshots look for it', async ({ store }) => {
  const { files } = await store.ensure(diskImage, options);
  const again = await store.ensure(diskImage, { ...options, force: true });
  assert.is.not(again.files.disk, files.disk);
  assert.ok(existsSync(files.disk as string));
  assert.equal(await store.fresh(diskImage), again.files);
});

test('a disk never takes the place of one that another build made meanwhile', async ({ store }) => {
  const slow: GuestImage = {
    ...diskImage,
    loadBuilder: async () => ({
      build: async (...words) => {
        await new Promise(resolve => setTimeout(resolve, 50));
        await (await diskImage.loadBuilder()).build(...words);
      },
    }),
  };
  const late = store.ensure(slow, options);
  const { files } = await store.ensure(diskImage, options);
  const disk = statSync(files.disk as string).ino;
  assert.equal((await late).files, files);
  const anew = [1, 2].map(() => store.ensure(slow, { ...options, force: true }));
  const disks = (await Promise.all(anew)).map(result => result.files.disk);
  assert.is(new Set([files.disk, ...disks]).size, 3);
  assert.is(statSync(files.disk as string).ino, disk);
});

test('where only reading is allowed, a fresh image can be used, and a build says what is wrong', async context => {
  const { root, store, image } = context;
  const { files } = await store.ensure(image, options);
  utimesSync(join(root, 'src/lib/a.c'), 1, 1);
  // As for somebody else's folder; root may write everywhere.
  const folder = join(root, 'images/fake');
  rmSync(join(folder, 'fresh.json'));
  mkdirSync(join(folder, 'fresh.json/x'), { recursive: true });
  assert.equal(await store.fresh(image), files);
  assert.is(readdirSync(folder).filter(name => name.startsWith('.')).length, 0);

  rmSync(join(root, 'images'), { recursive: true });
  writeFileSync(join(root, 'images'), '');
  await store.ensure(image, options).then(
    () => assert.unreachable(),
    error => {
      assert.is(error.code, 'TSVMM_E_IMAGE_BUILD');
      assert.match(error.message, folder);
    },
  );
});

test('a damaged fresh.json is no obstacle', async ({ root, store, image }) => {
  const { files } = await store.ensure(image, options);
  writeFileSync(join(root, 'images/fake/fresh.json'), '{"fingerprint": 5');
  assert.equal(await store.ensure(image, options), { files, built: false });
});

test.run();

const bench = suite<{ root: string; path: string | undefined }>('bench image');
bench.before.each(context => {
  context.root = mkdtempSync(join(tmpdir(), 'tsvmm-bench-'));
  context.path = process.env.PATH;
});
bench.after.each(({ root, path }) => {
  process.env.PATH = path;
  rmSync(root, { recursive: true });
});

const benchStore = (root: string) =>
  new ImageStore({
    packageRoot: join(import.meta.dirname, '../..'),
    imagesDirectory: join(root, 'images'),
    cacheDirectory: join(root, 'cache'),
  });

bench('build: without a compiler it names the tools and how to get them', async ({ root }) => {
  process.env.PATH = root;
  await benchStore(root)
    .ensure(guestImages[0] as GuestImage, options)
    .then(
      () => assert.unreachable(),
      error => {
        assert.is(error.code, 'TSVMM_E_TOOL_MISSING');
        assert.match(error.message, 'gcc and make');
        assert.match(error.hint, 'apt install gcc make');
      },
    );
});

bench('build: what the compiler complains about is shown', async ({ root }) => {
  // No lwIP in there.
  await benchStore(root)
    .ensure(guestImages[0] as GuestImage, { ...options, lwip: join(root, 'nothing') })
    .then(
      () => assert.unreachable(),
      error => {
        assert.is(error.code, 'TSVMM_E_IMAGE_BUILD');
        assert.match(error.message, /make failed\n/);
      },
    );
});

bench('build: an abort ends the compiler and leaves nothing', async ({ root }) => {
  const controller = new AbortController();
  const reason = new TsvmmError('TSVMM_E_INTERRUPTED', 'enough');
  const progress = () => setTimeout(() => controller.abort(reason), 50);
  await benchStore(root)
    .ensure(guestImages[0] as GuestImage, {
      progress,
      signal: controller.signal,
      lwip: join(root, 'nothing'),
    })
    .then(
      () => assert.unreachable(),
      error => assert.ok(error === reason || error.code === 'TSVMM_E_IMAGE_BUILD'),
    );
  assert.equal(readdirSync(join(root, 'images/bench')), []);
});

bench.run();
