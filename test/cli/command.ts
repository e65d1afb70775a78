import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { compiledMain } from './compiled.ts';

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The words by which a shell would start `tsvmm`. */
export const tsvmmProgram: readonly string[] = [process.execPath, compiledMain()];

/** A running command: `tsvmm`, or a program that starts it. */
export class TsvmmCommand {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Outcome>;
  stdout = '';
  stderr = '';

  constructor(words: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    const [program, ...rest] = words as [string, ...string[]];
    this.child = spawn(program, rest, { env: { ...process.env, NO_COLOR: '1', ...environment } });
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

  /** Resolves when stdout matches; rejects when the command ends without. For escape (0x1b) the pattern has ␛. */
  async untilStdout(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stdout.replaceAll('\x1b', '␛'))) {
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
  const command = new TsvmmCommand([...tsvmmProgram, ...words], environment);
  command.child.stdin.on('error', () => {}).end(stdin);
  return command.ended;
}
