import { exitCodes, TsvmmError } from '../vmm/errors.ts';
import { createCommand } from './create-command.ts';
import { reportError } from './ui/error-report.ts';
import { suggest } from './ui/suggest.ts';
import { verbs } from './verbs.ts';

/** Runs `tsvmm` with these arguments, prints an error if there is one, and answers the exit code. Never throws. */
export async function runCommandLine(words: readonly string[]): Promise<number> {
  try {
    await dispatch(words);
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return reportError(error);
  }
}

async function dispatch([first, ...rest]: readonly string[]): Promise<void> {
  switch (first) {
    case undefined:
      process.stderr.write((await import('./help.ts')).overview());
      process.exitCode = exitCodes.usage;
      return;
    case '-h':
    case '--help':
    case 'help':
      if (rest[0] !== undefined) return dispatch([rest[0], '--help']);
      process.stdout.write((await import('./help.ts')).overview());
      return;
    case '-V':
    case '--version':
      process.stdout.write(`${(await import('./version.ts')).version}\n`);
      return;
    default:
      return runVerb(first, rest);
  }
}

async function runVerb(name: string, words: readonly string[]): Promise<void> {
  const entry = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (entry === undefined) throw unknownVerb(name);
  const [{ Command, CommanderError }, verb] = await Promise.all([import('commander'), entry.load()]);
  try {
    await createCommand(new Command(`tsvmm ${name}`), entry.summary, verb).parseAsync(words, {
      from: 'user',
    });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help was asked for, or shown because a sub-verb is missing.
    if (error.exitCode === 0) return;
    if (error.code === 'commander.help') process.exitCode = exitCodes.usage;
    else throw usageError(name, error.message);
  }
}

function unknownVerb(name: string): TsvmmError {
  const similar = suggest(name, Object.keys(verbs));
  const kind = name.startsWith('-') ? 'option' : 'verb';
  return new TsvmmError('TSVMM_E_USAGE', `there is no ${kind} "${name}"`, {
    hint: similar === undefined ? 'tsvmm --help lists the verbs' : `did you mean "tsvmm ${similar}"?`,
  });
}

/** Commander's messages read "error: unknown option '--foo'", sometimes with a suggestion on a line of its own. */
function usageError(verb: string, message: string): TsvmmError {
  const [what = message, suggestion] = message.replace(/^error: /, '').split('\n');
  const hint = suggestion?.replace(/^\(Did you mean (.*)\?\)$/, 'did you mean $1?');
  return new TsvmmError('TSVMM_E_USAGE', what, { hint: hint ?? `see tsvmm ${verb} --help` });
}
