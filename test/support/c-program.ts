import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why this machine cannot compile C, or undefined if it can. */
export function lacksCompiler(): string | undefined {
  return spawnSync('gcc', ['--version']).status === 0 ? undefined : 'gcc is not installed';
}

export interface CQuestion {
  readonly headers: readonly string[];
  /** C source that stands after the headers. */
  readonly declarations?: string;
  /** Integer expressions. A bare macro name that the headers do not define yields no value. */
  readonly expressions: readonly string[];
}

/** What the compiler of this machine makes of C expressions. Throws with its messages when it refuses them. */
export function evaluateC({ headers, declarations = '', expressions }: CQuestion): Map<string, bigint> {
  const print = (expression: string): string => {
    const statement = `printf("%lld %s\\n", (long long)(${expression}), ${JSON.stringify(expression)});`;
    return /^\w+$/.test(expression) ? `#ifdef ${expression}\n${statement}\n#endif` : statement;
  };
  const source = [
    '#define _GNU_SOURCE',
    ...['stdio.h', 'stddef.h', ...headers].map(header => `#include <${header}>`),
    declarations,
    'int main(void) {',
    ...expressions.map(print),
    'return 0; }',
  ].join('\n');
  const directory = mkdtempSync(join(tmpdir(), 'tsvmm-c-'));
  try {
    const program = join(directory, 'program');
    writeFileSync(`${program}.c`, source);
    const compiler = spawnSync('gcc', ['-w', '-o', program, `${program}.c`], { encoding: 'utf8' });
    const errors = compiler.stderr.split('\n').filter(line => line.includes('error:'));
    if (compiler.status !== 0)
      throw new Error(`gcc refuses the expressions:\n${errors.slice(0, 20).join('\n')}`);
    const lines = execFileSync(program, { encoding: 'utf8', maxBuffer: 2 ** 24 })
      .trimEnd()
      .split('\n');
    return new Map(
      lines.map(line => {
        const space = line.indexOf(' ');
        return [line.slice(space + 1), BigInt(line.slice(0, space))];
      }),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}
