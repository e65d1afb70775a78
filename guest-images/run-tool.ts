import { spawn } from 'node:child_process';
import { TsvmmError } from '../vmm/errors.ts';
import { findTool } from './find-tool.ts';

/** Throws TSVMM_E_TOOL_MISSING that names all that are missing; `hint` says how to get them. */
export function requireTools(names: readonly string[], purpose: string, hint: string): void {
  const missing = names.filter(name => findTool(name) === undefined);
  if (missing.length === 0) return;
  throw new TsvmmError('TSVMM_E_TOOL_MISSING', `${purpose} needs ${missing.join(' and ')}`, {
    hint,
    details: { missing },
  });
}

export interface ToolResult {
  readonly code: number | null;
  /** stdout and stderr as they came. */
  readonly output: string;
}

/** What a program gets to end after it was asked to. */
const PATIENCE_MS = 3000;
const MAXIMUM_OUTPUT_CHARACTERS = 1 << 20;

export interface ToolOptions {
  readonly signal?: AbortSignal | undefined;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Is told each piece of output as it comes. */
  readonly onOutput?: (text: string) => void;
}

/**
 * Runs a program to its end in a process group of its own, which an abort ends as a whole. Throws
 * TSVMM_E_TOOL_MISSING when it cannot be started, and the reason of an abort.
 */
export function runTool(
  program: string,
  words: readonly string[],
  { signal, env = {}, onOutput }: ToolOptions = {},
): Promise<ToolResult> {
  signal?.throwIfAborted();
  const child = spawn(program, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, ...env },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-MAXIMUM_OUTPUT_CHARACTERS);
      onOutput?.(text);
    });
  }
  const kill = (name: NodeJS.Signals) => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, name);
  };
  // Politely first: programs tidy up what they have half made.
  let timer: NodeJS.Timeout | undefined;
  const end = () => {
    kill('SIGTERM');
    timer = setTimeout(() => kill('SIGKILL'), PATIENCE_MS);
  };
  signal?.addEventListener('abort', end);
  return new Promise<ToolResult>((resolve, reject) => {
    child.on('error', cause =>
      reject(new TsvmmError('TSVMM_E_TOOL_MISSING', `cannot start ${program}`, { cause })),
    );
    child.on('close', code => (signal?.aborted ? reject(signal.reason) : resolve({ code, output })));
  }).finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  });
}
