import { join } from 'node:path';
import * as v from 'valibot';
import type { ChannelState } from '../../snapshot/cluster/channel.ts';
import { decodeChannel } from '../../snapshot/cluster/channel-file.ts';
import type { DiskSource } from '../../snapshot/disk/create.ts';
import { parseWith } from '../../snapshot/image/manifest.ts';
import { SnapshotReader } from '../../snapshot/image/reader.ts';
import { type RestoreOptions, restoredSoftware } from '../../snapshot/restore/restored-software.ts';
import type { MachineSoftware } from '../../vmm/machine-parts.ts';
import { resolveSnapshot } from '../snapshot/resolve.ts';
import type { ClusterSource } from './snapshots.ts';

const sourceSchema = v.strictObject({
  file: v.pipe(v.string(), v.maxLength(4096)),
  text: v.pipe(v.string(), v.maxLength(1024 * 1024)),
});

/** A snapshot, as the parts of a cluster take it. */
export class RestoreSource {
  readonly source: ClusterSource;
  private readonly reader: SnapshotReader;
  private readonly options: RestoreOptions;

  /** `snapshot` is "cluster/name" or a folder. Throws TSVMM_E_NOT_FOUND, TSVMM_E_SNAPSHOT_CORRUPT. */
  static open(snapshot: string, options: RestoreOptions): RestoreSource {
    return new RestoreSource(new SnapshotReader(resolveSnapshot(snapshot)), options);
  }

  private constructor(reader: SnapshotReader, options: RestoreOptions) {
    this.reader = reader;
    this.options = options;
    this.source = parseWith(sourceSchema, reader.manifest.configuration, 'manifest.json: configuration');
  }

  /** The name under which the snapshot's cluster ran. */
  get cluster(): string {
    return this.reader.manifest.cluster;
  }

  get epoch(): number {
    return this.reader.manifest.epoch;
  }

  software(vm: string): MachineSoftware {
    return restoredSoftware(this.reader, this.reader.vm(vm), this.options);
  }

  disk(vm: string, disk: string): DiskSource | undefined {
    const found = this.reader.vm(vm).disks.find(({ name }) => name === disk);
    if (found === undefined) return undefined;
    return { frozen: { folder: join(this.reader.folder, found.path), description: found.description } };
  }

  /** The frames that were in flight at the cut. */
  channel(): ChannelState {
    const { manifest } = this.reader;
    const ports = new Set(manifest.vms.flatMap(({ ports }) => ports));
    return decodeChannel(this.reader.file(manifest.channel), { epoch: manifest.epoch, ports });
  }
}
