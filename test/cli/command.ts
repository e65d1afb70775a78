import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { join } from 'node:path';

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

const main = join(import.meta.dirname, '../../cli/main.ts');

/** A running `tsvmm`, from the sources. */
export class TsvmmCommand {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Outcome>;
  stdout = '';
  stderr = '';

  constructor(words: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    this.child = spawn(process.execPath, ['--import', 'tsx', main, ...words], {
      env: { ...process.env, NO_COLOR: '1', ...environment },
    });
    this.child.stdout.setEncoding('utf8').on('data', text => {
      this.stdout += text;
    });
    this.child.stderr.setEncoding('utf8').on('data', text => {
      this.stderr += text;
    });
    this.ended = new Promise(resolve => {
      this.child.on('close', (code, signal) =>
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }),
      );
    });
  }

  /** Resolves when stdout matches; rejects when the command ends without. */
  async untilStdout(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stdout)) {
      const more = new Promise(resolve => this.child.stdout.once('data', resolve));
      const outcome = await Promise.race([more.then(() => undefined), this.ended]);
      if (outcome !== undefined && !pattern.test(outcome.stdout)) {
        throw new Error(`ended without ${pattern}: ${JSON.stringify(outcome)}`);
      }
    }
  }
}

/** Runs `tsvmm` to its end. */
export function tsvmm(
  words: readonly string[],
  environment?: NodeJS.ProcessEnv,
  stdin = '',
): Promise<Outcome> {
  const command = new TsvmmCommand(words, environment);
  command.child.stdin.on('error', () => {}).end(stdin);
  return command.ended;
}
