import { exitCodes, TsvmmError } from '../../vmm/errors.ts';
import { type Paint, painter, wantsColor } from './color.ts';

/** Prints an error to stderr, as formatError lays it out, and answers the exit code that goes with it. */
export function reportError(error: unknown): number {
  process.stderr.write(formatError(error, painter(wantsColor(process.stderr))));
  return error instanceof TsvmmError ? error.exitCode : exitCodes.failed;
}

/**
 *     error: <what> [TSVMM_E_CODE]
 *       <further lines of the message>
 *       caused by: <each cause, outermost first>
 *     hint: <what to do>
 */
export function formatError(error: unknown, paint: Paint = painter(false)): string {
  const { code, message, hint } = describe(error);
  const [what = '', ...more] = message.split('\n');
  const lines = [`${paint('red', 'error:')} ${what} ${paint('dim', `[${code}]`)}`];
  for (const line of more) lines.push(`  ${line}`.trimEnd());
  for (const cause of causesOf(error)) lines.push(`  caused by: ${cause}`);
  if (process.env.TSVMM_DEBUG && error instanceof Error && error.stack) lines.push(error.stack);
  if (hint !== undefined) lines.push(`${paint('yellow', 'hint:')} ${hint}`);
  return `${lines.join('\n')}\n`;
}

function describe(error: unknown): { code: string; message: string; hint: string | undefined } {
  if (error instanceof TsvmmError) return error;
  return {
    code: 'TSVMM_E_INTERNAL',
    message: `unexpected: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'this is a defect of tsvmm: please report it with what TSVMM_DEBUG=1 prints in addition',
  };
}

/** Messages of the chain of causes, without those that a message above already contains. */
function causesOf(error: unknown): string[] {
  const texts: string[] = [];
  let said = error instanceof Error ? error.message : '';
  const seen = new Set<unknown>([error]);
  for (let cause = (error as Error)?.cause; cause instanceof Error && !seen.has(cause); cause = cause.cause) {
    seen.add(cause);
    if (!said.includes(cause.message)) texts.push(cause.message);
    said += cause.message;
  }
  return texts;
}
