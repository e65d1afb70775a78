import { existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runTool, type ToolResult } from '../../../guest-images/run-tool.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const script = join(import.meta.dirname, '../../../guest-images/linux/fetch.sh');

/**
 * An archive that has version 2 of everything. With the file "offline" it cannot be reached; with "stale" the lists name
 * version 1, which is gone. Two at once in one cache fail.
 */
const APT_GET = `#!/bin/sh
for word; do
  case $word in
    Dir::Cache=*) cache=\${word#*=} ;;
    --print-uris) verb=resolve ;;
    --download-only) verb=download ;;
    update) verb=update ;;
  esac
  package=$word
done
cd "$ARCHIVE"
echo $verb >>calls
mkdir "$cache/busy" || exit 100
sleep 0.05
rmdir "$cache/busy"
version=2
[ ! -e stale ] || version=1
case $verb in
  update) [ ! -e offline ] || exit 100; rm -f stale ;;
  resolve)
    [ ! -e unlisted ] || { echo 'it cannot be downloaded'; exit 0; }
    echo "'http://archive/library_$version.deb' library_\${version}_all.deb 3 SHA256:0"
    echo "'http://archive/$package_$version.deb' \${package}_1%3a\${version}_all.deb 3 SHA256:0"
    ;;
  download)
    [ ! -e offline ] && [ ! -e stale ] || { echo "404 $package" >&2; exit 100; }
    touch "$cache/archives/library_2_all.deb" "$cache/archives/\${package}_1%3a2_all.deb"
    ;;
esac
`;
const APT_CACHE = '#!/bin/sh\nprintf "%s\\n" source-6.9 source-6.12 source-6.12-tools\n';

interface Context {
  cache: string;
  archive: string;
}

const test = suite<Context>('fetch.sh');
test.before.each(context => {
  const folder = temporaryFolder();
  context.cache = join(folder, 'the cache');
  context.archive = join(folder, 'archive');
  mkdirSync(context.archive);
  for (const [name, text] of Object.entries({ 'apt-get': APT_GET, 'apt-cache': APT_CACHE }))
    writeFileSync(join(context.archive, name), text, { mode: 0o755 });
});

const fetch = ({ cache, archive }: Context, ...packages: string[]): Promise<ToolResult> =>
  runTool('sh', [script, cache, ...packages], {
    env: { ARCHIVE: archive, PATH: `${archive}:${process.env.PATH}` },
  });
/** Names of the files that it prints. */
async function fetched(context: Context, ...packages: string[]): Promise<string[]> {
  const { code, output } = await fetch(context, ...packages);
  assert.is(code, 0, output);
  const paths = output.trimEnd().split('\n');
  for (const path of paths) assert.ok(existsSync(path), path);
  return paths.map(path => basename(path));
}
const set = ({ archive }: Context, state: string) => writeFileSync(join(archive, state), '');
const unset = ({ archive }: Context, state: string) => rmSync(join(archive, state));
const calls = ({ archive }: Context, verb: string): number =>
  readFileSync(join(archive, 'calls'), 'utf8')
    .split('\n')
    .filter(line => line === verb).length;

test('names the files that apt resolved, the own one first, whatever else lies in the cache', async context => {
  mkdirSync(join(context.cache, 'archives'), { recursive: true });
  writeFileSync(join(context.cache, 'archives/busybox_1%3a1_all.deb'), '');
  assert.equal(await fetched(context, 'busybox'), ['busybox_1%3a2_all.deb', 'library_2_all.deb']);
});

test('a name with * stands for the newest version of that name', async context => {
  assert.equal(await fetched(context, 'source-*'), ['source-6.12_1%3a2_all.deb', 'library_2_all.deb']);
});

test('lists are updated once a day', async context => {
  await fetched(context, 'busybox');
  await fetched(context, 'busybox');
  assert.is(calls(context, 'update'), 1);
  const longAgo = Date.now() / 1000 - 3 * 24 * 3600;
  utimesSync(join(context.cache, 'lists/updated'), longAgo, longAgo);
  await fetched(context, 'busybox');
  assert.is(calls(context, 'update'), 2);
});

test('a try without a network says so, and the next one updates the lists', async context => {
  set(context, 'offline');
  const { code, output } = await fetch(context, 'busybox');
  assert.is(code, 1);
  assert.match(output, /^error: cannot download busybox\nhint: check the network/m);
  unset(context, 'offline');
  assert.is((await fetched(context, 'busybox')).length, 2);
});

test('when what lists of today name is gone, it updates them and tries once more', async context => {
  await fetched(context, 'busybox');
  set(context, 'stale');
  assert.equal(await fetched(context, 'busybox'), ['busybox_1%3a2_all.deb', 'library_2_all.deb']);
  assert.is(calls(context, 'update'), 2);
});

test('a package that cannot be had even then is told of, with what apt said', async context => {
  await fetched(context, 'busybox');
  for (const state of ['stale', 'offline']) set(context, state);
  const { code, output } = await fetch(context, 'busybox');
  assert.is(code, 1);
  assert.match(output, '404 busybox');
  assert.is(calls(context, 'download'), 2);
});

test('a package that no list has is told of, though apt says nothing of it when it is installed', async context => {
  set(context, 'unlisted');
  const { code, output } = await fetch(context, 'busybox');
  assert.is(code, 1);
  assert.match(output, /it cannot be downloaded\nerror: cannot download busybox/);
});

test('several at once wait for each other', async context => {
  const all = await Promise.all(['a', 'b', 'c', 'd'].map(name => fetched(context, name)));
  assert.equal(
    all.map(([own]) => own),
    ['a', 'b', 'c', 'd'].map(name => `${name}_1%3a2_all.deb`),
  );
});

test.run();
