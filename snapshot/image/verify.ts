import { join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { allocateNative } from '../../vmm/memory/native.ts';
import { decodeChannel } from '../cluster/channel-file.ts';
import { digestLayer } from '../disk/layer-digest.ts';
import { openLayers } from '../disk/open-layers.ts';
import { openMemorySource, readChain, type SnapshotChain } from './chain.ts';
import { ChunkReader } from './chunk-reader.ts';
import { isZeroRange } from './compare-pages.ts';
import type { ManifestVm } from './manifest.ts';
import { closeMemorySource } from './memory-source.ts';
import { SnapshotReader } from './reader.ts';

export interface VerifyFinding {
  /** "pair/s1: server: memory.img". */
  readonly what: string;
  readonly error?: string;
  readonly bytes: number;
}

/**
 * Checks every reference and every checksum of a snapshot. Answers one finding for each part, in order; throws only
 * when there is no manifest to go by (TSVMM_E_NOT_FOUND, TSVMM_E_SNAPSHOT_CORRUPT).
 */
export async function verifySnapshot(folder: string): Promise<VerifyFinding[]> {
  const reader = new SnapshotReader(folder);
  const { manifest } = reader;
  let chain: SnapshotChain = [reader];
  const ports = new Set(manifest.vms.flatMap(vm => vm.ports));
  const findings = [
    await examine('channel.bin', () => {
      const bytes = reader.file(manifest.channel);
      decodeChannel(bytes, { epoch: manifest.epoch, ports });
      return bytes.length;
    }),
    await examine('timeline.json', () => reader.file(manifest.timeline).length),
  ];
  const { parent } = manifest;
  if (parent !== null) {
    const found = await examine(`${parent.cluster}/${parent.name}`, () => {
      chain = readChain(reader);
      return 0;
    });
    findings.push(found);
  }
  for (const vm of manifest.vms) {
    findings.push(
      await examine(vm.state.path, () => {
        reader.state(vm);
        return vm.state.bytes;
      }),
      await examine(vm.memory.path, () => verifyMemory(chain, vm)),
    );
    for (const disk of vm.disks) {
      findings.push(await examine(disk.path, () => verifyDisk(join(folder, disk.path), disk)));
    }
  }
  return findings;
}

async function examine(what: string, check: () => number | Promise<number>): Promise<VerifyFinding> {
  try {
    return { what, bytes: await check() };
  } catch (error) {
    return { what, bytes: 0, error: error instanceof TsvmmError ? error.message : String(error) };
  }
}

/** Reads all of it, in all images of the chain; answers the bytes that are not zero. */
function verifyMemory(chain: SnapshotChain, vm: ManifestVm): number {
  const [{ manifest }] = chain;
  if (manifest.parent !== null && chain.length === 1)
    throw new TsvmmError('TSVMM_E_SNAPSHOT_CORRUPT', 'cannot be checked without its parent');
  const source = openMemorySource(chain, vm.name);
  const reader = new ChunkReader(source);
  const buffer = allocateNative(source.chunkSize);
  let bytes = 0;
  try {
    for (const [chunk, expected] of source.chunks.entries()) {
      const length = reader.chunkLength(chunk);
      if (expected !== null) {
        reader.read(chunk, buffer.address);
        bytes += length;
      } else {
        reader.fill(chunk, buffer.address);
        if (!isZeroRange(buffer.address, length))
          throw new TsvmmError('TSVMM_E_SNAPSHOT_CORRUPT', `chunk ${chunk} is not zero`);
      }
      if (!reader.isTidy(chunk, buffer.address))
        throw new TsvmmError('TSVMM_E_SNAPSHOT_CORRUPT', `chunk ${chunk} holds bytes that belong to no page`);
    }
  } finally {
    buffer.free();
    reader.free();
    closeMemorySource(source);
  }
  return bytes;
}

async function verifyDisk(
  folder: string,
  { description, digests }: ManifestVm['disks'][number],
): Promise<number> {
  const { base, layers } = openLayers(folder, description, { writable: false });
  base?.close();
  for (const layer of layers) layer.close();
  let bytes = 0;
  for (const [i, { file }] of description.layers.entries()) {
    const digest = await digestLayer(join(folder, file));
    if (digest.crc32 !== digests[i])
      throw new TsvmmError('TSVMM_E_SNAPSHOT_CORRUPT', `${file} has a wrong checksum`);
    bytes += digest.data_bytes;
  }
  return bytes;
}
