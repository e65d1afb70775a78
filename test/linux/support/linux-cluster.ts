import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { ControlClient } from '../../../cli/api/client.ts';
import { cacheDirectory, imagesDirectory } from '../../../cli/home/layout.ts';
import { tsvmm } from '../../cli/command.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { LinuxConsole } from './linux-console.ts';

export const PATIENCE_SECONDS = process.env.TSVMM_LINUX_PATIENCE ?? '300';

/** What `snap --format json` prints, as far as tests look at it. */
export interface SnapReport {
  readonly snapshot: string;
  readonly cut_skew_us: number;
  readonly complete_ms: number;
  readonly frames: { readonly held: number; readonly dropped: number; readonly recorded: number };
  readonly vms: readonly {
    readonly name: string;
    readonly downtime_us: number;
    readonly cow_faults: number;
    readonly vmm_write_saves: number;
    readonly fallbacks: number;
  }[];
}

/** Clusters of Linux guests in a $TSVMM_HOME of their own, by the command line. */
export class LinuxHome {
  readonly path = temporaryFolder(process.env.TSVMM_LINUX_FOLDER);
  private readonly consoles: LinuxConsole[] = [];

  constructor() {
    symlinkSync(imagesDirectory(), join(this.path, 'images'));
    symlinkSync(cacheDirectory(), join(this.path, 'cache'));
  }

  /** Runs `tsvmm` and answers its stdout. Throws unless it succeeds. */
  async tsvmm(...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await tsvmm(words, { TSVMM_HOME: this.path });
    assert.is(code, 0, `tsvmm ${words.join(' ')}: ${stderr}`);
    return stdout.trim();
  }

  run = (file: string): Promise<string> => this.tsvmm('run', '-d', '--timeout', PATIENCE_SECONDS, file);

  async snap(cluster: string, ...options: string[]): Promise<SnapReport> {
    return JSON.parse(await this.tsvmm('snap', cluster, '--format', 'json', ...options)) as SnapReport;
  }

  /** A console; of a guest that was restored, it is logged in already. */
  async console(cluster: string, vm: string): Promise<LinuxConsole> {
    const client = new ControlClient({ cluster, directory: join(this.path, 'run', cluster) });
    const console = new LinuxConsole(await client.upgrade('/v1/console', { vm }));
    this.consoles.push(console);
    return console;
  }

  /** Waits until a guest has ended by itself, for this reason. */
  async untilEnded(cluster: string, vm: string, reason: string): Promise<void> {
    for (const end_ms = performance.now() + 1000 * Number(PATIENCE_SECONDS); ; ) {
      const { vms } = JSON.parse(await this.tsvmm('ps', cluster, '--format', 'json')) as {
        vms: { name: string; exit?: { reason: string } }[];
      };
      const exit = vms.find(({ name }) => name === vm)?.exit;
      if (exit !== undefined) {
        assert.is(exit.reason, reason, vm);
        return;
      }
      assert.ok(performance.now() < end_ms, `${vm} does not end`);
      await setTimeout(500);
    }
  }

  /** Ends all clusters. */
  async stop(): Promise<void> {
    for (const console of this.consoles.splice(0)) console.leave();
    await this.tsvmm('stop', '--all', '--timeout', '60');
  }
}
