import { isAbsolute } from 'node:path';
import * as v from 'valibot';
import { corrupt } from './corrupt.ts';
import { type DiskGeometry, diskGeometry } from './geometry.ts';
import { type BaseIdentity, isLayerId, type LayerId, NO_BASE } from './layer-format.ts';
import { MAXIMUM_LAYERS } from './owner-table.ts';

export interface BaseDescription {
  readonly path: string;
  readonly size_bytes: number;
  /** Time of the last modification, in decimal, as JSON numbers are too short for it. */
  readonly modified_ns: string;
}
export interface LayerDescription {
  /** Name of the file in the description's folder. */
  readonly file: string;
  readonly id: LayerId;
}
/** What a disk is made of, from the bottom up: the content of disk.json, and a part of a snapshot's manifest. */
export interface DiskDescription {
  readonly format: 'tsvmm-disk';
  readonly version: 1;
  readonly size_bytes: number;
  readonly block_bytes: number;
  readonly base: BaseDescription | null;
  readonly layers: readonly LayerDescription[];
}

/** A plain name: a description must not make us open files outside of its folder. */
const layerFile = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.layer$/));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

export const diskDescriptionSchema = v.strictObject({
  format: v.literal('tsvmm-disk'),
  version: v.literal(1),
  size_bytes: count,
  block_bytes: count,
  base: v.nullable(
    v.strictObject({
      path: v.pipe(v.string(), v.maxLength(4096), v.check(isAbsolute, 'not an absolute path')),
      size_bytes: count,
      modified_ns: v.pipe(v.string(), v.regex(/^\d{1,19}$/)),
    }),
  ),
  layers: v.pipe(
    v.array(
      v.strictObject({ file: layerFile, id: v.pipe(v.string(), v.check(isLayerId, 'not a layer id')) }),
    ),
    v.maxLength(MAXIMUM_LAYERS),
  ),
});

/** Validates what was read from `path`. Throws TSVMM_E_DISK_CORRUPT. */
export function parseDescription(text: string, path: string): DiskDescription {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw corrupt(path, `not JSON: ${(cause as Error).message}`);
  }
  return checkDescription(json, path);
}

/** The same for a description that is part of a larger document. */
export function checkDescription(json: unknown, path: string): DiskDescription {
  const result = v.safeParse(diskDescriptionSchema, json);
  if (!result.success) {
    const [issue] = result.issues;
    throw corrupt(path, `not a disk description: ${v.getDotPath(issue) ?? ''} ${issue.message}`);
  }
  const description = result.output;
  if (new Set(description.layers.map(({ file }) => file)).size !== description.layers.length)
    throw corrupt(path, 'the same file is named as two layers');
  try {
    describedGeometry(description);
  } catch (cause) {
    throw corrupt(path, (cause as Error).message);
  }
  return description;
}

export const describedGeometry = ({ size_bytes, block_bytes }: DiskDescription): DiskGeometry =>
  diskGeometry(size_bytes, block_bytes);

export const describedBase = ({ base }: DiskDescription): BaseIdentity =>
  base === null ? NO_BASE : { size: base.size_bytes, modified_ns: BigInt(base.modified_ns) };
