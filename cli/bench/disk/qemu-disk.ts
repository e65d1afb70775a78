import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { MIB } from '../../../vmm/memory/address.ts';
import { QemuRun } from '../guests/qemu-run.ts';
import { Qmp } from '../snap/qmp.ts';
import type { BenchFolder } from './bench-folder.ts';
import { type DiskGuests, type DiskStarter, VM } from './disk-guests.ts';

/** How QEMU keeps a disk: a raw file; snapshots within a qcow2 file; a chain of qcow2 files. */
export type QemuFormat = 'raw' | 'qcow2' | 'chain';

const DEVICE = 'disk0';

/** QEMU's microvm with a virtio-blk disk, cached as tsvmm's is: written back, flushed when the guest says so. */
export const qemuDisk =
  (bench: BenchFolder, image: string, format: QemuFormat): DiskStarter =>
  words => {
    const { folder, disk } = bench.copyOf(format === 'raw' ? bench.raw : bench.qcow2);
    const socket = join(folder, 'qmp');
    const run = new QemuRun([
      {
        vm: VM,
        image,
        memory_bytes: 64 * MIB,
        words,
        devices: [
          ...[
            '-drive',
            `id=${DEVICE},file=${disk},format=${format === 'raw' ? 'raw' : 'qcow2'},if=none,cache=writeback`,
          ],
          ...['-device', `virtio-blk-device,drive=${DEVICE}`, '-qmp', `unix:${socket},server=on,wait=off`],
        ],
      },
    ]);
    let qmp: Qmp | undefined;
    let count = 0;
    const guests: DiskGuests = {
      log: run.log,
      pids: run.pids,
      snapshot: async () => {
        qmp ??= await Qmp.connect(socket);
        const name = `s${count++}`;
        if (format === 'qcow2') {
          await qmp.command('blockdev-snapshot-internal-sync', { device: DEVICE, name });
        } else {
          const file = join(folder, name);
          await qmp.command('blockdev-snapshot-sync', {
            device: DEVICE,
            'snapshot-file': file,
            format: 'qcow2',
          });
        }
      },
      end: async () => {
        qmp?.close();
        await run.end();
        rmSync(folder, { recursive: true, force: true });
      },
    };
    return guests;
  };
