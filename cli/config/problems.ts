import { TsvmmError } from '../../vmm/errors.ts';
import type { Path } from './document.ts';
import { limits } from './limits.ts';

/** One thing that is wrong with a file, and where. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
  /** Keys from the root of the file, joined by dots. */
  readonly path?: string;
}

/** Notes a problem with what stands at `path`. */
export type Report = (path: Path, message: string, part?: 'key' | 'value') => void;

/** TSVMM_E_CONFIG that lists all problems in the order of the file, each with the line it stands in. */
export function configError(problems: readonly Problem[], text: string): TsvmmError {
  // What an alias brings in twice is one problem.
  const unique = new Map(
    problems.map(problem => [`${problem.line}:${problem.column}:${problem.message}`, problem]),
  );
  const sorted = [...unique.values()].sort((a, b) => a.line - b.line || a.column - b.column);
  const lines = text.split('\n');
  const [first, ...others] = sorted.slice(0, limits.problems).map(problem => render(problem, lines));
  const rest = sorted.length > limits.problems ? [`and ${sorted.length - limits.problems} more`] : [];
  const message =
    others.length === 0
      ? (first as string[])
      : [
          `${sorted[0]?.file} has ${sorted.length} problems`,
          ...(first as string[]),
          ...others.flat(),
          ...rest,
        ];
  return new TsvmmError('TSVMM_E_CONFIG', message.join('\n'), {
    hint: 'docs/cluster-file.md describes all keys; tsvmm validate checks a file without running it',
    details: { problems: sorted },
  });
}

/** As compilers do: place and message, then the line with a mark below the place. */
function render({ file, line, column, message }: Problem, lines: readonly string[]): string[] {
  const place = `${file}:${line}:${column}: ${message}`;
  const source = lines[line - 1]?.replaceAll('\t', ' ').replace(/[^ -~\u00a0-\uffff]/g, '?');
  if (source === undefined || source.trim() === '' || source.length > 200) return [place];
  const number = String(line).padStart(4);
  return [place, `${number} | ${source}`, `${' '.repeat(number.length)} | ${' '.repeat(column - 1)}^`];
}
