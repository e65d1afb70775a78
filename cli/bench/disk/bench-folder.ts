import { randomFillSync } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runTool } from '../../../guest-images/run-tool.ts';
import { homeDirectory, imagesDirectory } from '../../home/layout.ts';
import { failure } from '../guests/report-log.ts';
import { DISK_BYTES } from './disk-guests.ts';

/**
 * A $TSVMM_HOME of the bench's own, below the user's, so that all disks lie on the file system that they would lie on
 * otherwise. Beside it are the images that the disks begin with, full of random data.
 */
export class BenchFolder {
  readonly path: string;
  readonly raw: string;
  readonly qcow2: string;
  private copies = 0;

  /** `withQcow2` makes the image for QEMU too. */
  static async create(withQcow2: boolean, signal: AbortSignal): Promise<BenchFolder> {
    const folder = new BenchFolder();
    try {
      writeFileSync(folder.raw, randomFillSync(Buffer.allocUnsafe(DISK_BYTES)));
      if (withQcow2) {
        const words = ['convert', '-f', 'raw', '-O', 'qcow2', folder.raw, folder.qcow2];
        const { code, output } = await runTool('qemu-img', words, { signal });
        if (code !== 0) throw failure('qemu-img failed', new Error(output));
      }
      return folder;
    } catch (error) {
      folder.remove();
      throw error;
    }
  }

  private constructor() {
    mkdirSync(homeDirectory(), { recursive: true });
    this.path = mkdtempSync(join(homeDirectory(), 'bench-'));
    symlinkSync(imagesDirectory(), join(this.path, 'images'));
    this.raw = join(this.path, 'disk.raw');
    this.qcow2 = join(this.path, 'disk.qcow2');
  }

  /** A folder for one run, with a copy of `image` in it. */
  copyOf(image: string): { folder: string; disk: string } {
    const folder = join(this.path, `run-${this.copies++}`);
    mkdirSync(folder);
    const disk = join(folder, 'disk');
    copyFileSync(image, disk);
    return { folder, disk };
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
