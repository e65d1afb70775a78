import type { Duplex } from 'node:stream';

/** Emulated processors are slow. */
const PATIENCE_MS = 1000 * Number(process.env.TSVMM_LINUX_PATIENCE ?? 300);

/** What busybox's shell asks a terminal with each prompt, and does without an answer (ECMA-48, DSR). */
const WHERE_IS_THE_CURSOR = '\u001b[6n';

/** Somebody who sits at a Linux guest's console. */
export class LinuxConsole {
  private readonly socket: Pick<Duplex, 'write' | 'destroy'>;
  private said = '';
  private wake: () => void = () => {};
  private commands = 0;

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => this.hear(bytes));
    socket.on('error', () => {});
  }

  /** As root, who needs no password; the shell then says nothing that was not asked. */
  async login(): Promise<void> {
    this.type('\n');
    await this.until(/login: $/);
    this.type('root\n');
    await this.takeShell();
  }

  /** As login(), where a shell waits already. */
  async enter(): Promise<void> {
    this.type('\n');
    await this.takeShell();
  }

  private async takeShell(): Promise<void> {
    await this.until(/[#] $/);
    this.type("dmesg -n 1; stty -echo; PS1='' PS2=''; export TERM=dumb\n");
    // What is typed before echoing is off comes back.
    await this.output('true');
  }

  /** Runs a command to its end; answers what it wrote. Throws when its exit status is not 0. */
  async output(command: string): Promise<string> {
    const { status, text } = await this.run(command);
    if (status !== 0) throw new Error(`"${command}" ended with ${status}: ${text}`);
    return text;
  }

  async run(command: string): Promise<{ readonly status: number; readonly text: string }> {
    const number = ++this.commands;
    this.said = '';
    this.type(`${command}\necho "<${number}:$?>"\n`);
    const [end = '', status] = await this.until(new RegExp(`<${number}:(\\d+)>\\r?\\n`));
    return {
      status: Number(status),
      text: this.said.slice(0, this.said.indexOf(end)).replaceAll('\r', '').trim(),
    };
  }

  /** Starts a command after which nobody will answer. */
  send(command: string): void {
    this.type(`${command}\n`);
  }

  /** Runs a command until it succeeds. */
  async eventually(command: string): Promise<string> {
    for (const end_ms = performance.now() + PATIENCE_MS; ; ) {
      const { status, text } = await this.run(command);
      if (status === 0) return text;
      if (performance.now() > end_ms) throw new Error(`"${command}" still ends with ${status}: ${text}`);
      await this.run('sleep 1');
    }
  }

  leave(): void {
    this.socket.destroy();
  }

  private type(text: string): void {
    this.socket.write(text);
  }

  private hear(bytes: Buffer): void {
    this.said = (this.said + bytes.toString('latin1')).replaceAll(WHERE_IS_THE_CURSOR, '').slice(-1_000_000);
    this.wake();
  }

  private async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (const end_ms = performance.now() + PATIENCE_MS; ; ) {
      const found = pattern.exec(this.said);
      if (found !== null) return found;
      const left_ms = end_ms - performance.now();
      if (left_ms <= 0) throw new Error(`no ${pattern} on the console: ${this.said.slice(-500)}`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>(resolve => {
        this.wake = resolve;
        timer = setTimeout(resolve, left_ms);
      });
      clearTimeout(timer);
    }
  }
}
