import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { TsvmmError } from '../../vmm/errors.ts';
import { allocateNative, bytesAt } from '../../vmm/memory/native.ts';
import { decodeChannel } from '../cluster/channel-file.ts';
import { digestLayer } from '../disk/layer-digest.ts';
import { openLayers } from '../disk/open-layers.ts';
import { readFully } from '../restore/eager.ts';
import { memorySource } from '../restore/memory-source.ts';
import type { ManifestVm } from './manifest.ts';
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
  const ports = new Set(manifest.vms.flatMap(vm => vm.ports));
  const findings = [
    await examine('channel.bin', () => {
      const bytes = reader.file(manifest.channel);
      decodeChannel(bytes, { epoch: manifest.epoch, ports });
      return bytes.length;
    }),
    await examine('timeline.json', () => reader.file(manifest.timeline).length),
  ];
  for (const vm of manifest.vms) {
    findings.push(
      await examine(vm.state.path, () => {
        reader.state(vm);
        return vm.state.bytes;
      }),
      await examine(vm.memory.path, () => verifyMemory(reader, vm)),
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

/** Reads all of it; answers the bytes that are not zero. */
function verifyMemory(reader: SnapshotReader, vm: ManifestVm): number {
  const source = memorySource(reader, vm);
  const buffer = allocateNative(source.chunkSize);
  let bytes = 0;
  try {
    for (const [chunk, expected] of source.chunks.entries()) {
      const offset = chunk * source.chunkSize;
      const length = Math.min(source.chunkSize, source.length - offset);
      readFully(source.fd, buffer.address, length, offset);
      const content = bytesAt(buffer.address, length);
      const right = expected === null ? content.every(byte => byte === 0) : crc32(content) === expected;
      if (!right) throw new TsvmmError('TSVMM_E_SNAPSHOT_CORRUPT', `chunk ${chunk} has a wrong checksum`);
      if (expected !== null) bytes += length;
    }
  } finally {
    buffer.free();
    closeSync(source.fd);
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
