import { closeSync, openSync, renameSync, writeSync } from 'node:fs';

/** A log grows to this size, is then renamed to .1 and begun anew: a guest fills at most twice as much. */
const LONGEST_FILE_BYTES = 4 * 1024 * 1024;

/** A VM's console as a text file of bounded size; each line begins with the time it was written (ISO 8601, UTC). */
export class ConsoleLog {
  readonly path: string;
  private fd: number;
  private size = 0;
  /** Lines that could not be written: the disk is full. */
  lostLines = 0;

  constructor(path: string) {
    this.path = path;
    this.fd = openSync(path, 'a', 0o600);
  }

  /** Synchronous, so that a killed process leaves all that its guests said. Never throws. */
  append(line: string): void {
    const bytes = Buffer.from(`${new Date().toISOString()} ${line}\n`);
    try {
      if (this.size + bytes.length > LONGEST_FILE_BYTES) this.rotate();
      writeSync(this.fd, bytes);
      this.size += bytes.length;
    } catch {
      this.lostLines++;
    }
  }

  /** Idempotent. Lines that come later are lost, and do not end up in whatever file has the number next. */
  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }

  private rotate(): void {
    renameSync(this.path, `${this.path}.1`);
    closeSync(this.fd);
    this.fd = openSync(this.path, 'a', 0o600);
    this.size = 0;
  }
}
