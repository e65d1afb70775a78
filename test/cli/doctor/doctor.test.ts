import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { describeKind, describeLinuxGuests, kvmCheck } from '../../../cli/doctor/kvm.ts';
import { hugePagesCheck, memoryCheck, openFilesCheck } from '../../../cli/doctor/memory.ts';
import { tunCheck } from '../../../cli/doctor/network.ts';
import { nodeCheck } from '../../../cli/doctor/software.ts';
import { homeCheck } from '../../../cli/doctor/tools.ts';
import { tsvmm } from '../command.ts';

test('tsvmm doctor: every check has a status, and hints come with what is not in order', async () => {
  const home = mkdtempSync(join(tmpdir(), 'tsvmm-doctor-'));
  const { code, stdout } = await tsvmm(['doctor', '--format', 'json'], { TSVMM_HOME: home });
  const { ok, checks } = JSON.parse(stdout);
  assert.is(code, ok ? 0 : 3);
  assert.ok(checks.length >= 12);
  for (const { name, status, detail, hint } of checks) {
    assert.ok(['pass', 'warn', 'fail'].includes(status), name);
    assert.ok(detail.length > 0, name);
    assert.is(hint === undefined, status === 'pass', name);
  }
  rmSync(home, { recursive: true });
});

test('kvmCheck: a device that is missing, or is something else, fails with what to do', async () => {
  const missing = await kvmCheck('/nowhere/kvm');
  assert.is(missing.status, 'fail');
  assert.match(missing.hint ?? '', 'modprobe');
  assert.is((await kvmCheck('/dev/null')).status, 'fail');
});

test('describeKind: tells hardware from software KVM by the processor', () => {
  assert.match(describeKind('flags\t\t: fpu vmx sse\n', false).detail, 'Intel');
  assert.match(describeKind('flags\t\t: fpu svm sse\n', false).detail, 'AMD');
  assert.is(describeKind('flags\t\t: fpu sse\n', true).status, 'warn');
  assert.match(describeKind('flags\t\t: fpu sse\n', true).detail, 'PVM');
  assert.is(describeKind('', false).status, 'warn');
});

test('describeLinuxGuests: a KVM in software has to let us see where system calls enter', () => {
  assert.is(describeLinuxGuests('vmx', false).status, 'pass');
  assert.is(describeLinuxGuests('software', true).status, 'pass');
  assert.match(describeLinuxGuests('software', false).detail, 'system calls');
});

test('nodeCheck, memoryCheck, openFilesCheck: pass above their limits only', () => {
  assert.is(nodeCheck('v20.1.0').status, 'pass');
  assert.is(nodeCheck('v18.19.0').status, 'fail');
  assert.is(memoryCheck('MemAvailable:    8000000 kB\n').status, 'pass');
  assert.is(memoryCheck('MemAvailable:     100000 kB\n').status, 'warn');
  assert.is(
    openFilesCheck('Max open files            1024                 65536                files\n').status,
    'pass',
  );
  assert.is(
    openFilesCheck('Max open files            1024                 1024                files\n').status,
    'warn',
  );
});

test('hugePagesCheck: always and madvise are as good as each other', () => {
  assert.is(hugePagesCheck('[always] madvise never\n').status, 'pass');
  assert.is(hugePagesCheck('always [madvise] never\n').status, 'pass');
  assert.is(hugePagesCheck('always madvise [never]\n').status, 'warn');
  assert.is(hugePagesCheck(undefined).status, 'warn');
});

test('tunCheck and homeCheck: name what is in the way', () => {
  assert.match(tunCheck('/nowhere/tun').detail, 'ENOENT');
  const file = join(mkdtempSync(join(tmpdir(), 'tsvmm-doctor-')), 'file');
  writeFileSync(file, '');
  const finding = homeCheck(join(file, 'home'));
  assert.is(finding.status, 'fail');
  assert.match(finding.detail, 'ENOTDIR');
  rmSync(join(file, '..'), { recursive: true });
});

test.run();
