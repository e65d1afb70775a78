import { crc32 } from 'node:zlib';
import { encodeJson } from './durable.ts';
import { MANIFEST_FILE } from './manifest.ts';
import { corrupt } from './struct-codec.ts';

/** Adds a checksum of all the rest, which the manifest cannot have anywhere else. */
export const seal = (manifest: object): object => ({ ...manifest, crc32: checksumOf(manifest) });

/** The inverse of seal(), for parsed JSON. Throws TSVMM_E_SNAPSHOT_CORRUPT. */
export function unseal(json: unknown): unknown {
  if (typeof json !== 'object' || json === null || !('crc32' in json))
    throw corrupt(MANIFEST_FILE, 'has no checksum');
  const { crc32: expected, ...manifest } = json;
  if (checksumOf(manifest) !== expected) throw corrupt(MANIFEST_FILE, 'has a wrong checksum');
  return manifest;
}

/** Text and value belong to each other, as JSON.stringify keeps the order of what JSON.parse found. */
function checksumOf(manifest: object): number {
  try {
    return crc32(encodeJson(manifest));
  } catch (cause) {
    throw corrupt(MANIFEST_FILE, 'is nested too deeply', cause);
  }
}
