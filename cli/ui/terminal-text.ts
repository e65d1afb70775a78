const ESCAPE = '\x1b';
/** Sets colours (ECMA-48, SGR) and nothing else. */
const colors = new RegExp(`(${ESCAPE}\\[[0-9;]*m)`);
/** Control sequences (CSI ... final), strings up to their terminator (OSC, DCS, ...), and short escapes. */
const sequences = new RegExp(
  `${ESCAPE}(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\\x07${ESCAPE}]*(?:\\x07|${ESCAPE}\\\\)?|[ -/]*[0-~])`,
  'g',
);

/**
 * A guest's line made harmless for a terminal: colours stay, everything that moves the cursor, sets titles or makes
 * the terminal answer goes. Guests are not trusted.
 */
export function terminalText(line: string): string {
  const parts = line.split(colors);
  const text = parts.map((part, index) => (index % 2 === 1 ? part : plain(part))).join('');
  return parts.length > 1 ? `${text}${ESCAPE}[0m` : text;
}

const plain = (text: string): string =>
  text.replace(sequences, '').replace(/\p{Cc}/gu, control => (control === '\t' ? control : ''));
