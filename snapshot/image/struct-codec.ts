import { TsvmmError } from '../../vmm/errors.ts';
import type { Layout, StructFields, View } from '../../vmm/ffi/struct.ts';

/** A struct as it stands in state.json: numbers, 64-bit values as "0x..", byte strings as base64. */
export type StructJson = { [field: string]: number | string | StructJson };

/** Named fields of a kernel struct, readable and independent of its offsets. */
export function encodeStruct<Fields extends StructFields>(
  layout: Layout<Fields>,
  view: View<Fields>,
): StructJson {
  const json: StructJson = {};
  for (const name of Object.keys(layout.fields)) {
    const value: unknown = view[name as keyof Fields];
    if (typeof value === 'bigint') json[name] = `0x${value.toString(16)}`;
    else if (typeof value === 'number') json[name] = value;
    else if (value instanceof Uint8Array) json[name] = Buffer.from(value).toString('base64');
    else json[name] = encodeStruct(nestedLayout(layout, name), value as View<StructFields>);
  }
  return json;
}

/**
 * The inverse of encodeStruct. Every field must be there, of its type and range, and no other; `path` names the place
 * in messages. Throws TSVMM_E_SNAPSHOT_CORRUPT.
 */
export function decodeStruct<Fields extends StructFields>(
  layout: Layout<Fields>,
  json: unknown,
  path: string,
): View<Fields> {
  const view = layout.allocate();
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw corrupt(path, 'is not an object');
  const given = json as Record<string, unknown>;
  for (const name of Object.keys(given))
    if (!(name in layout.fields)) throw corrupt(`${path}.${name}`, 'is unknown');
  for (const [name, field] of Object.entries(layout.fields)) {
    const at = `${path}.${name}`;
    const value = given[name];
    if (field.kind === 'scalar') {
      const current: unknown = view[name as keyof Fields];
      const parsed = typeof current === 'bigint' ? parseU64(value, at) : parseNumber(value, field.size, at);
      (view as Record<string, unknown>)[name] = parsed;
    } else if (field.kind === 'bytes') {
      (view[name as keyof Fields] as Uint8Array).set(parseBytes(value, field.size, at));
    } else {
      const nested = nestedLayout(layout, name);
      (view[name as keyof Fields] as View<StructFields>).bytes.set(decodeStruct(nested, value, at).bytes);
    }
  }
  return view;
}

function nestedLayout(layout: Layout<StructFields>, name: string): Layout<StructFields> {
  const field = layout.fields[name];
  if (field?.kind !== 'nested')
    throw new TsvmmError('TSVMM_E_INTERNAL', `${layout.name}.${name} cannot be encoded`);
  return field.layout;
}

export function parseU64(value: unknown, path: string): bigint {
  if (typeof value !== 'string' || !/^0x[0-9a-f]{1,16}$/.test(value))
    throw corrupt(path, 'is not a 64-bit value');
  return BigInt(value);
}

function parseNumber(value: unknown, size: number, path: string): number {
  const limit = 2 ** (8 * Math.min(size, 6));
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= limit) {
    throw corrupt(path, `is not a number of ${size} bytes`);
  }
  return value as number;
}

export function parseBytes(value: unknown, length: number, path: string): Uint8Array {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : undefined;
  if (bytes?.length !== length) throw corrupt(path, `is not a base64 string of ${length} bytes`);
  return bytes;
}

export const corrupt = (path: string, what: string, cause?: unknown) =>
  new TsvmmError('TSVMM_E_SNAPSHOT_CORRUPT', `${path} ${what}`, {
    hint: 'the snapshot was damaged or written by another version; tsvmm snap verify shows all there is to find',
    cause,
  });
