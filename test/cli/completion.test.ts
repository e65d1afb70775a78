import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { verbs } from '../../cli/verbs.ts';
import { tsvmm } from './command.ts';

test('tsvmm completion bash: completes verbs, options, files and running clusters', async () => {
  const home = mkdtempSync(join(tmpdir(), 'tsvmm-completion-'));
  mkdirSync(join(home, 'run/pair'), { recursive: true });
  mkdirSync(join(home, 'run/ring'));
  const { stdout: script } = await tsvmm(['completion', 'bash']);
  const complete = (...words: string[]): string[] => {
    const commands = `${script}\nCOMP_WORDS=(tsvmm ${words.map(word => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _tsvmm; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', commands], {
      env: { ...process.env, TSVMM_HOME: home },
      cwd: home,
      encoding: 'utf8',
    });
    assert.is(stderr, '');
    return stdout.split('\n').filter(word => word !== '');
  };
  assert.equal(complete('').sort(), Object.keys(verbs).sort());
  assert.equal(complete('val'), ['validate']);
  assert.ok(complete('run', '--').includes('--detach'));
  assert.not.ok(complete('run', '--').includes('--report-fd'));
  assert.equal(complete('run', 'ru'), ['run']);
  assert.equal(complete('stop', 'p'), ['pair']);
  assert.equal(complete('image', ''), ['ls', 'build']);
  rmSync(home, { recursive: true });
});

test('tsvmm completion: zsh and fish know all verbs; other shells are a usage error', async () => {
  const [zsh, fish, other] = await Promise.all(
    ['zsh', 'fish', 'tcsh'].map(shell => tsvmm(['completion', shell])),
  );
  for (const verb of Object.keys(verbs)) {
    assert.match(zsh?.stdout ?? '', `'${verb}:`);
    assert.match(fish?.stdout ?? '', ` -a ${verb} `);
  }
  assert.is(other?.code, 2);
  assert.match(other?.stderr ?? '', 'known are: bash, zsh, fish');
});

test.run();
