import { setTimeout as sleep } from 'node:timers/promises';
import { describedGeometry } from '../../snapshot/disk/description.ts';
import { Disk } from '../../snapshot/disk/disk.ts';
import { BlockDriver, type Completion } from './block-driver.ts';

/** A disk with its thread, and a driver that uses it through the device. */
export class ServedDisk {
  readonly disk: Disk;
  readonly driver: BlockDriver;

  private constructor(disk: Disk, driver: BlockDriver) {
    this.disk = disk;
    this.driver = driver;
  }

  static async open(
    path: string,
    { readOnly = false, areaCount = 8, areaBytes = 256 * 1024 } = {},
  ): Promise<ServedDisk> {
    const disk = await Disk.open(path, { name: 'disk0', readOnly });
    const { size } = describedGeometry(disk.description);
    const driver = new BlockDriver({ sectorCount: size / 512, readOnly, areaCount, areaBytes });
    driver.initialize();
    const { address, length, cow } = driver.guest.ram;
    await disk.attach(driver.device.attachment, { address, length, cow });
    return new ServedDisk(disk, driver);
  }

  /** The next completion, whenever it comes. */
  async finish(): Promise<Completion & { head: number }> {
    const end_ms = performance.now() + 300_000;
    for (let spins = 0; ; spins++) {
      const completion = this.driver.take();
      if (completion !== undefined) return completion;
      if (performance.now() > end_ms) throw new Error('the disk does not answer');
      if (spins > 50) await sleep(1);
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.driver.read(offset / 512, length);
    return (await this.run()).data;
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    this.driver.write(offset / 512, data);
    await this.run();
  }

  async flush(): Promise<void> {
    this.driver.flush();
    await this.run();
  }

  async close(): Promise<void> {
    await this.disk.detach();
    await this.disk.close();
    this.driver.close();
  }

  private async run(): Promise<Completion> {
    this.driver.kick();
    const completion = await this.finish();
    if (completion.status !== 0) throw new Error(`the request ended with status ${completion.status}`);
    return completion;
  }
}
