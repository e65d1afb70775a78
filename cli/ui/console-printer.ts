import { nameColor, painter, wantsColor } from './color.ts';
import { terminalText } from './terminal-text.ts';

/** Prints the consoles of several VMs to stdout, each line after its VM's name: `server | text`. */
export class ConsolePrinter {
  private readonly prefixes: ReadonlyMap<string, string>;
  private readonly isTerminal = process.stdout.isTTY === true;

  /** A VM's colour depends on its place among all of the cluster, so that it is the same in every verb. */
  constructor(vms: readonly string[]) {
    const width = Math.max(0, ...vms.map(name => name.length));
    const paint = painter(wantsColor(process.stdout));
    this.prefixes = new Map(
      vms.map((name, index) => [name, paint(nameColor(index), `${name.padEnd(width)} |`)]),
    );
  }

  print(vm: string, line: string): void {
    const text = this.isTerminal ? terminalText(line) : line;
    process.stdout.write(`${this.prefixes.get(vm) ?? `${vm} |`} ${text}\n`);
  }
}
