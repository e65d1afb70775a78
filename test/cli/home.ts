import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheDirectory, imagesDirectory } from '../../cli/home/layout.ts';
import { benchImage } from '../support/bench-image.ts';
import { type Outcome, TsvmmCommand, tsvmm, tsvmmProgram } from './command.ts';

/** A $TSVMM_HOME of a test's own, which shares the built images. */
export class TestHome {
  readonly path: string;

  static async create(): Promise<TestHome> {
    await benchImage();
    return new TestHome();
  }

  private constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'tsvmm-cli-'));
    mkdirSync(cacheDirectory(), { recursive: true });
    symlinkSync(imagesDirectory(), join(this.path, 'images'));
    symlinkSync(cacheDirectory(), join(this.path, 'cache'));
  }

  /** Writes a file; answers its path. */
  write(name: string, content: string | Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, content);
    return path;
  }

  run(...words: string[]): Promise<Outcome> {
    return tsvmm(words, { TSVMM_HOME: this.path });
  }

  start(...words: string[]): TsvmmCommand {
    return new TsvmmCommand([...tsvmmProgram, ...words], { TSVMM_HOME: this.path });
  }

  /** Names of the run directories, hidden ones included. */
  get runs(): string[] {
    const path = join(this.path, 'run');
    return existsSync(path) ? readdirSync(path) : [];
  }

  async remove(): Promise<void> {
    if (this.runs.length > 0) await this.run('stop', '--all', '--timeout', '5');
    rmSync(this.path, { recursive: true });
  }
}

/** A cluster file: one bench VM, named node, with these words on its command line. */
export const oneVm = (args: string): string =>
  `name: one\nvms: { node: { memory: 64MiB, args: [${args}] } }\n`;
