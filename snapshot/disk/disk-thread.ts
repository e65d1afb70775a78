/** The thread of one disk: it serves the device's requests, and what the control side asks for in between. */
import { join } from 'node:path';
import { BlockHandler } from '../../vmm/devices/virtio/block/handler.ts';
import { type DeviceAttachment, ServedDevice } from '../../vmm/devices/virtio/served-device.ts';
import type { EventLoop } from '../../vmm/io/event-loop.ts';
import { serveIoThread } from '../../vmm/io/io-thread.ts';
import { GuestMemory } from '../../vmm/memory/guest-memory.ts';
import type { RamDescriptor } from '../../vmm/memory/ram.ts';
import { type DiskDescription, describedGeometry } from './description.ts';
import { DiskStats } from './disk-stats.ts';
import { FreezeWord } from './freeze-word.ts';
import type { Layer } from './layer.ts';
import { LayerState } from './layer-format.ts';
import { LayeredDisk } from './layered-disk.ts';
import { openLayer, openLayers } from './open-layers.ts';
import { succeeded } from './succeeded.ts';

export interface DiskThreadSetup {
  readonly folder: string;
  readonly description: DiskDescription;
  readonly writable: boolean;
  /** What the device answers to GET_ID. */
  readonly id: string;
  readonly stats: SharedArrayBuffer;
  readonly freezeWord: SharedArrayBuffer;
}

export type DiskThreadMessage =
  | { readonly kind: 'open' }
  | { readonly kind: 'attach'; readonly attachment: DeviceAttachment; readonly ram: RamDescriptor }
  | { readonly kind: 'detach' }
  /** A new layer file, empty, for the next freeze. */
  | { readonly kind: 'prepare'; readonly file: string }
  | { readonly kind: 'seal' }
  /** A merged layer takes the place of the sealed ones at the positions [first, end). */
  | { readonly kind: 'replace'; readonly first: number; readonly end: number; readonly file: string }
  | { readonly kind: 'close'; readonly flush: boolean };

export interface DiskThreadReply {
  /** To `open`: the last layer is frozen, so that the disk needs a new one before it can be written. */
  readonly needsLayer: boolean;
}

class DiskServer {
  private readonly loop: EventLoop;
  private readonly setup: DiskThreadSetup;
  private disk: LayeredDisk | undefined;
  private handler: BlockHandler | undefined;

  constructor(loop: EventLoop, setup: DiskThreadSetup) {
    this.loop = loop;
    this.setup = setup;
  }

  handle(message: DiskThreadMessage): DiskThreadReply {
    let needsLayer = false;
    switch (message.kind) {
      case 'open':
        needsLayer = this.open();
        break;
      case 'attach':
        this.attach(message.attachment, message.ram);
        break;
      case 'detach':
        this.detach();
        break;
      case 'prepare':
        this.opened().prepare(this.openLayer(message.file, true));
        break;
      case 'seal':
        succeeded(this.opened().seal(), 'sealing a disk layer');
        break;
      case 'replace':
        this.opened().replaceLayers(message.first, message.end, this.openLayer(message.file, false));
        break;
      case 'close':
        this.close(message.flush);
    }
    return { needsLayer };
  }

  private open(): boolean {
    const { folder, description, writable, stats, freezeWord } = this.setup;
    const { base, layers } = openLayers(folder, description, { writable });
    this.disk = new LayeredDisk({
      geometry: describedGeometry(description),
      base,
      layers,
      writable,
      stats: new DiskStats(stats),
      freezeWord: new FreezeWord(freezeWord),
    });
    if (!writable) return false;
    // Layers that a crash left unsealed below others are complete: they were flushed with those.
    succeeded(this.disk.seal(), 'sealing a disk layer');
    const top = layers.at(-1);
    if (top === undefined || top.state === LayerState.FROZEN) return true;
    succeeded(top.startWriting(), 'opening a disk layer for writing');
    return false;
  }

  private attach(attachment: DeviceAttachment, ram: RamDescriptor): void {
    const { setup, loop } = this;
    const disk = this.opened();
    const device = new ServedDevice(attachment, new GuestMemory(ram));
    this.handler = new BlockHandler(device, attachment, loop, disk, {
      sectorCount: disk.geometry.size / 512,
      readOnly: !setup.writable,
      id: setup.id,
    });
  }

  private detach(): void {
    this.handler?.detach();
    this.handler = undefined;
  }

  private close(flush: boolean): void {
    this.detach();
    const { disk } = this;
    this.disk = undefined;
    if (disk === undefined) return;
    const result = flush && this.setup.writable ? disk.finish() : 0;
    disk.close();
    succeeded(result, 'closing a disk');
  }

  private openLayer(file: string, writable: boolean): Layer {
    return openLayer(join(this.setup.folder, file), writable);
  }

  private opened(): LayeredDisk {
    if (this.disk === undefined) throw new Error('the disk is not open');
    return this.disk;
  }
}

serveIoThread<DiskThreadMessage, DiskThreadSetup>((loop, setup) => {
  const server = new DiskServer(loop, setup);
  return message => server.handle(message);
});
