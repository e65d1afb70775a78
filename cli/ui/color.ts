import type { WriteStream } from 'node:tty';

/** Whether colours may be written to `stream`: a terminal, and nobody objects (https://no-color.org). */
export const wantsColor = (stream: Pick<WriteStream, 'isTTY'>): boolean =>
  stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';

export type Style = 'red' | 'green' | 'yellow' | 'bold' | 'dim' | NameColor;
type NameColor = (typeof nameColors)[number];

const escapes: Readonly<Record<string, string>> = {
  red: '31',
  green: '32',
  yellow: '33',
  blue: '34',
  magenta: '35',
  cyan: '36',
  brightGreen: '92',
  brightYellow: '93',
  brightBlue: '94',
  brightMagenta: '95',
  brightCyan: '96',
  bold: '1',
  dim: '2',
};

const nameColors = [
  'cyan',
  'yellow',
  'green',
  'magenta',
  'blue',
  'brightCyan',
  'brightYellow',
  'brightGreen',
  'brightMagenta',
  'brightBlue',
] as const;

/** The colour of the nth virtual machine of a cluster: the same in every verb. */
export const nameColor = (index: number): Style => nameColors[index % nameColors.length] ?? 'cyan';

export type Paint = (style: Style, text: string) => string;

/** Puts text in colour, or leaves it as it is where colours are not wanted. */
export const painter = (color: boolean): Paint =>
  color ? (style, text) => `\x1b[${escapes[style]}m${text}\x1b[0m` : (_, text) => text;
