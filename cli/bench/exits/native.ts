import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTools, runTool } from '../../../guest-images/run-tool.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { packageRoot } from '../../package-root.ts';
import { type Measurement, parseMeasurements } from './measurement.ts';
import type { InterruptWay } from './subject.ts';

const sources = join(packageRoot, 'cli/bench/native');
const PROGRAM_SOURCES = ['main.c', 'machine.c', 'boot.c'];
const PROGRAM_FLAGS = ['-O2', '-pthread'];
const GUEST_FLAGS = ['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-Wl,-z,noexecstack'];
/** Above what the boot protocol has below 1 MiB. */
const GUEST_PLACE = ['-Wl,-Ttext-segment=0x200000', '-Wl,-e,start'];

export type NativeMode = 'guest' | 'kick' | InterruptWay | 'enter';

/** The C programs of cli/bench/native, compiled for one run of the bench. */
export class NativePrograms {
  /** A guest that answers interrupts; see native/echo-guest.S. */
  readonly echoGuest: string;
  private readonly program: string;
  private readonly directory: string;
  private readonly signal: AbortSignal;

  /** Throws TSVMM_E_TOOL_MISSING without gcc. */
  static async compile(signal: AbortSignal): Promise<NativePrograms> {
    requireTools(['gcc'], 'comparing with C', 'on Debian or Ubuntu: apt install gcc');
    const programs = new NativePrograms(mkdtempSync(join(tmpdir(), 'tsvmm-bench-')), signal);
    try {
      const paths = PROGRAM_SOURCES.map(file => join(sources, file));
      await programs.run('gcc', [...PROGRAM_FLAGS, '-o', programs.program, ...paths]);
      const guest = join(sources, 'echo-guest.S');
      await programs.run('gcc', [...GUEST_FLAGS, ...GUEST_PLACE, '-o', programs.echoGuest, guest]);
      return programs;
    } catch (error) {
      programs.close();
      throw error;
    }
  }

  private constructor(directory: string, signal: AbortSignal) {
    this.directory = directory;
    this.signal = signal;
    this.program = join(directory, 'native-exits');
    this.echoGuest = join(directory, 'echo-guest.elf');
  }

  /** Runs the program; its modes are described in native/main.c. */
  async measure(image: string, mode: NativeMode, words: string, count = 1): Promise<Measurement[]> {
    return parseMeasurements(await this.run(this.program, [image, mode, words, String(count)]));
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async run(program: string, words: readonly string[]): Promise<string> {
    const { code, output } = await runTool(program, words, { signal: this.signal });
    if (code === 0) return output;
    throw new TsvmmError('TSVMM_E_INTERNAL', `${program} failed`, { cause: new Error(output.slice(-2000)) });
  }
}
