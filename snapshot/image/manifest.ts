import * as v from 'valibot';
import { TsvmmError } from '../../vmm/errors.ts';
import { HUGE_PAGE_SIZE, PAGE_SIZE } from '../../vmm/memory/address.ts';
import { diskDescriptionSchema } from '../disk/description.ts';
import { compressions } from './compression-names.ts';

export const MANIFEST_FILE = 'manifest.json';
export const FORMAT = 'tsvmm-snapshot';
export const FORMAT_VERSION = 2;
/** Images that a page may have to be looked for in, the snapshot's own included. */
export const MAXIMUM_CHAIN = 64;
/** Of manifest, states, checksums and recorded frames; those of the largest cluster stay far below. */
export const MAXIMUM_FILE_BYTES = 256 * 1024 * 1024;

/** Guest-physical addresses end at 2^46. */
const MAXIMUM_MEMORY_BYTES = 2 ** 46;
const MAXIMUM_CHUNK_BYTES = 64 * 1024 * 1024;

const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const crc = v.pipe(count, v.maxValue(0xffffffff));
/** Relative to the snapshot's folder, and never out of it. */
const relativePath = v.pipe(
  v.string(),
  v.maxLength(1024),
  v.check(
    path => !path.startsWith('/') && !path.split('/').includes('..') && !path.includes('\0'),
    'leads out of the snapshot',
  ),
);
const name = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/));

const file = v.strictObject({ path: relativePath, bytes: count, crc32: crc });

/**
 * RAM: a sparse file in which page p lies at p * 4 KiB, or compressed chunks one after another; what it has of each page;
 * and the checksums of whole chunks, which do not depend on how they are stored.
 */
const memory = v.strictObject({
  path: relativePath,
  file_bytes: count,
  compression: v.picklist(compressions),
  map: file,
  bytes: v.pipe(
    count,
    v.minValue(HUGE_PAGE_SIZE),
    v.multipleOf(HUGE_PAGE_SIZE),
    v.maxValue(MAXIMUM_MEMORY_BYTES),
  ),
  chunk_bytes: v.pipe(
    count,
    v.minValue(PAGE_SIZE),
    v.maxValue(MAXIMUM_CHUNK_BYTES),
    v.check(bytes => Number.isInteger(Math.log2(bytes)), 'is not a power of two'),
  ),
  checksums: file,
});

const vmParts = v.strictObject({
  name,
  memory_bytes: count,
  vcpus: v.pipe(count, v.minValue(1), v.maxValue(256)),
  /** Its NICs, as "vm/nic". */
  ports: v.pipe(v.array(v.pipe(v.string(), v.maxLength(256))), v.maxLength(64)),
  /** The addresses with which its network devices were made. */
  macs: v.pipe(v.array(v.pipe(v.string(), v.regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/))), v.maxLength(64)),
  state: file,
  memory,
  /** Frozen layers in a folder of their own, and the checksum of each. */
  disks: v.pipe(
    v.array(
      v.strictObject({ name, path: relativePath, description: diskDescriptionSchema, digests: v.array(crc) }),
    ),
    v.maxLength(64),
  ),
});
const vm = v.pipe(
  vmParts,
  v.check(({ memory_bytes, memory }) => memory_bytes === memory.bytes, 'has two sizes of memory'),
  v.check(
    // A chunk that a writer took away from the saver was written twice.
    ({ memory: { compression, file_bytes, bytes } }) =>
      compression === 'none' ? file_bytes === bytes : file_bytes <= 2 * bytes,
    'has a memory file of an impossible size',
  ),
);

/** The snapshot that has what this one does not: where to look for it, and what it must be (identity.ts). */
const parent = v.strictObject({
  cluster: name,
  name,
  identity: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'is no SHA-256')),
});

export const manifestSchema = v.strictObject({
  format: v.literal(FORMAT),
  version: v.literal(FORMAT_VERSION),
  cluster: name,
  name,
  created_at: v.string(),
  /** Microseconds since 1970, of the first VM's cut. */
  cut_realtime_us: count,
  parent: v.nullable(parent),
  epoch: count,
  method: v.picklist(['hotsnap', 'stop-copy', 'pre-copy']),
  cow: v.picklist(['mprotect', 'userfaultfd']),
  filter: v.picklist(['hold', 'drop', 'off']),
  /** The resolved cluster file: a restore makes the same VMs, networks and disks of it. */
  configuration: v.unknown(),
  vms: v.pipe(
    v.array(vm),
    v.maxLength(4096),
    v.check(vms => new Set(vms.map(({ name }) => name)).size === vms.length, 'have a name twice'),
  ),
  channel: file,
  /** What happened when, as `snap inspect --svg` draws it. */
  timeline: file,
  /** What `snap --format json` printed. */
  report: v.unknown(),
});

export type Manifest = v.InferOutput<typeof manifestSchema>;
export type ManifestVm = v.InferOutput<typeof vm>;
export type ParentReference = v.InferOutput<typeof parent>;
export type FileReference = v.InferOutput<typeof file>;

export const checksumsSchema = v.strictObject({
  /** CRC-32 of each chunk, and null for one that is all zero. */
  chunks: v.pipe(v.array(v.nullable(crc)), v.maxLength(2 ** 26)),
  /** Chunks that were written soon after the cut, first to last: the working set, which a lazy restore loads first. */
  working_set: v.optional(v.pipe(v.array(count), v.maxLength(2 ** 16)), []),
});
export type MemoryChecksums = v.InferOutput<typeof checksumsSchema>;

/** Validates parsed JSON; throws TSVMM_E_SNAPSHOT_CORRUPT naming the first thing that is wrong. */
export function parseWith<Schema extends v.GenericSchema>(
  schema: Schema,
  json: unknown,
  what: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, json);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const place = issue.path?.map(({ key }) => String(key)).join('.') ?? '';
  throw new TsvmmError(
    'TSVMM_E_SNAPSHOT_CORRUPT',
    `${what}: ${place === '' ? '' : `${place}: `}${issue.message}`,
    {
      hint: 'the snapshot is damaged or was written by another version of tsvmm',
    },
  );
}
