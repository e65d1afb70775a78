/**
 * "Your own Linux" as README.md and docs/linux-guests.md tell it, word by word: their cluster files and commands, with
 * the kernel of a distribution.
 *
 *   tsvmm image build debian --packages iperf3,redis-server
 *   npx tsx test/linux/own.host.test.ts
 *
 * TSVMM_LINUX_PATIENCE (300): seconds until something counts as hanging.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findImage, imageStore } from '../../cli/image/images.ts';
import { testUnless } from '../support.ts';
import { lacksDebian, PACKAGES } from './support/debian-image.ts';
import { LinuxHome, PATIENCE_SECONDS } from './support/linux-cluster.ts';

const test = suite('own Linux guests');
const project = join(import.meta.dirname, '../..');
const obstacle = await lacksDebian();
let home: LinuxHome;
test.before(() => {
  if (obstacle === undefined) home = new LinuxHome();
});
test.after(async () => home?.stop());

/** The first block of code in this language after `heading`. */
function block(page: string, heading: string, language: string): string {
  const text = `\n${readFileSync(join(project, page), 'utf8')}`.split(`\n${heading}\n`)[1] ?? '';
  const blocks = [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)];
  const found = blocks.find(([, name]) => name === language)?.[2];
  assert.ok(found, `${page}: ${heading} has ${language || 'commands'}`);
  return found as string;
}

/** A folder like the user's, with parts of the Debian image under the names that the cluster file has for them. */
async function folder(name: string, parts: Record<string, 'kernel' | 'initrd' | 'disk'>): Promise<string> {
  const path = join(home.path, name);
  mkdirSync(path);
  const files = await imageStore().fresh(findImage('debian'), PACKAGES);
  for (const [link, part] of Object.entries(parts)) symlinkSync(files?.[part] ?? '', join(path, link));
  return path;
}

async function boot(path: string, yaml: string, name: string): Promise<void> {
  const file = join(path, `${name}.yaml`);
  writeFileSync(file, yaml);
  const started = performance.now();
  await home.run(file);
  console.log(`${name} spoke after ${((performance.now() - started) / 1000).toFixed(0)} s`);
}

const lacksTools = ['/bin/busybox', '/usr/bin/cpio']
  .filter(path => !existsSync(path))
  .map(path => `no ${path}`)[0];

testUnless(obstacle ?? lacksTools, test, 'a kernel and an initial RAM disk made by hand', async () => {
  const page = 'docs/linux-guests.md';
  const path = await folder('by-hand', { vmlinuz: 'kernel' });
  writeFileSync(join(path, 'init'), block(page, '### A root file system', 'sh'));
  const commands = block(page, '### A root file system', '');
  const { status, stderr } = spawnSync('sh', ['-e'], { cwd: path, input: commands, encoding: 'utf8' });
  assert.is(status, 0, stderr);

  await boot(path, block(page, '# Linux guests', 'yaml'), 'small');
  const console = await home.console('small', 'node1');
  await console.enter();
  assert.match(await console.output('uname -sr'), /^Linux \d+\.\d+/);
  assert.is(await console.output('tty'), '/dev/ttyS0');
  console.send('poweroff -f');
  await home.untilEnded('small', 'node1', 'power-off');
});

testUnless(obstacle, test, 'a distribution as it is, which hears tsvmm stop', async () => {
  const path = await folder('distribution', { vmlinuz: 'kernel', 'initrd.gz': 'initrd', 'root.img': 'disk' });
  await boot(path, block('README.md', '## Your own Linux', 'yaml'), 'own');
  const shell = await home.console('own', 'node1');
  await shell.login();
  assert.is(await shell.output('nproc'), '2');
  assert.is(await shell.output('findmnt -no SOURCE /'), '/dev/vda');
  assert.match(await shell.output('ls /sys/class/net'), /\beth0\b/);
  await shell.eventually('! systemctl list-jobs --no-legend | grep -q .');

  const pressed = performance.now();
  await home.tsvmm('stop', 'own', '--timeout', PATIENCE_SECONDS);
  const seconds = (performance.now() - pressed) / 1000;
  console.log(`powered off within ${seconds.toFixed(0)} s`);
  assert.ok(seconds < Number(PATIENCE_SECONDS), 'it was not ended by force');
});

for (const [command, reason] of [
  ['reboot', 'reset'],
  ['poweroff', 'power-off'],
] as const)
  testUnless(obstacle, test, `systemctl ${command} stops all services and ends the VM`, async () => {
    const path = await folder(command, { vmlinuz: 'kernel', 'initrd.gz': 'initrd', 'root.img': 'disk' });
    await boot(path, block('README.md', '## Your own Linux', 'yaml'), command);
    const shell = await home.console(command, 'node1');
    await shell.login();
    await shell.eventually('! systemctl list-jobs --no-legend | grep -q .');
    const asked = performance.now();
    shell.send(`systemctl ${command}`);
    await home.untilEnded(command, 'node1', reason);
    console.log(`${command}: ended after ${((performance.now() - asked) / 1000).toFixed(0)} s`);
  });

test.run();
