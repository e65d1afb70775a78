import { type Paint, painter, wantsColor } from './color.ts';

export type Align = 'left' | 'right';

/** Rows under their headings, columns two spaces apart. Cells must not contain escapes or line ends. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  { align = [], paint = painter(false) }: { align?: readonly Align[]; paint?: Paint } = {},
): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map(row => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        align[column] === 'right' ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return [paint('bold', line(headings)), ...rows.map(line)].join('\n');
}

/** The same for stdout, with colours if it wants them. */
export const styledTable: typeof table = (headings, rows, options = {}) =>
  table(headings, rows, { paint: painter(wantsColor(process.stdout)), ...options });
