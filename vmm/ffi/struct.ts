/**
 * C struct layouts as data. A layout is declared once, with the field names of the kernel header or spec it comes
 * from; offsets follow the C rules for natural alignment, and test/vmm/ffi compares them with the compiler's.
 *
 *   const kvmClockData = struct('kvm_clock_data', { clock: u64, flags: u32 });
 *   const clock = kvmClockData.allocate();
 *   clock.flags = 2;          // named fields, typed: u64 is a bigint, the rest are numbers
 *   ioctlBuffer(fd, KVM_SET_CLOCK, clock.bytes);
 *   kvmClockData.offsets.flags // for hot paths that read a DataView themselves
 */

interface Scalar<Value> {
  readonly kind: 'scalar';
  readonly size: number;
  readonly read: (view: DataView, at: number) => Value;
  readonly write: (view: DataView, at: number, value: Value) => void;
}
interface Bytes {
  readonly kind: 'bytes';
  readonly size: number;
}
interface Elements<Of extends StructFields> {
  readonly kind: 'elements';
  readonly layout: Layout<Of>;
  readonly count: number;
}
interface Nested<Of extends StructFields> {
  readonly kind: 'nested';
  readonly layout: Layout<Of>;
}
type Field = Scalar<number> | Scalar<bigint> | Bytes | Elements<StructFields> | Nested<StructFields>;
export type StructFields = Record<string, Field>;

type ValueOf<F> =
  F extends Scalar<infer Value>
    ? Value
    : F extends Bytes
      ? Uint8Array
      : F extends Elements<infer Of>
        ? readonly View<Of>[]
        : F extends Nested<infer Of>
          ? View<Of>
          : never;

/** A struct in memory: its fields as properties, and all its bytes. */
export type View<Fields extends StructFields> = {
  -readonly [Name in keyof Fields]: ValueOf<Fields[Name]>;
} & {
  readonly bytes: Uint8Array;
};

export interface Layout<Fields extends StructFields> {
  /** The struct's name in C. */
  readonly name: string;
  readonly size: number;
  readonly alignment: number;
  readonly fields: Fields;
  readonly offsets: { readonly [Name in keyof Fields]: number };
  /** A view of the struct at `byteOffset` of a buffer that somebody else owns. */
  at(buffer: ArrayBufferLike, byteOffset?: number): View<Fields>;
  /** A zeroed struct of our own, followed by `trailing` bytes for a flexible array. */
  allocate(trailing?: number): View<Fields>;
}

export type ViewOf<L> = L extends Layout<infer Fields> ? View<Fields> : never;

const scalar = <Value>(
  size: number,
  read: Scalar<Value>['read'],
  write: Scalar<Value>['write'],
): Scalar<Value> => ({ kind: 'scalar', size, read, write });

export const u8 = scalar<number>(
  1,
  (v, at) => v.getUint8(at),
  (v, at, x) => v.setUint8(at, x),
);
export const u16 = scalar<number>(
  2,
  (v, at) => v.getUint16(at, true),
  (v, at, x) => v.setUint16(at, x, true),
);
export const u32 = scalar<number>(
  4,
  (v, at) => v.getUint32(at, true),
  (v, at, x) => v.setUint32(at, x, true),
);
export const i8 = scalar<number>(
  1,
  (v, at) => v.getInt8(at),
  (v, at, x) => v.setInt8(at, x),
);
export const i16 = scalar<number>(
  2,
  (v, at) => v.getInt16(at, true),
  (v, at, x) => v.setInt16(at, x, true),
);
export const i32 = scalar<number>(
  4,
  (v, at) => v.getInt32(at, true),
  (v, at, x) => v.setInt32(at, x, true),
);
export const u64 = scalar<bigint>(
  8,
  (v, at) => v.getBigUint64(at, true),
  (v, at, x) => v.setBigUint64(at, x, true),
);
/** A u64 whose values stay below 2^53: addresses and lengths. */
export const usize = scalar<number>(
  8,
  (v, at) => v.getUint32(at, true) + v.getUint32(at + 4, true) * 2 ** 32,
  (v, at, x) => {
    v.setUint32(at, x % 2 ** 32, true);
    v.setUint32(at + 4, x / 2 ** 32, true);
  },
);
export const bytes = (size: number): Bytes => ({ kind: 'bytes', size });
export const elements = <Of extends StructFields>(layout: Layout<Of>, count: number): Elements<Of> => ({
  kind: 'elements',
  layout,
  count,
});
export const nested = <Of extends StructFields>(layout: Layout<Of>): Nested<Of> => ({
  kind: 'nested',
  layout,
});

const sizeOf = (field: Field): number => {
  if (field.kind === 'elements') return field.layout.size * field.count;
  return field.kind === 'nested' ? field.layout.size : field.size;
};
const alignmentOf = (field: Field): number => {
  if (field.kind === 'scalar') return field.size;
  return field.kind === 'bytes' ? 1 : field.layout.alignment;
};
const roundUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/**
 * The layout of `struct name` under the C rules. `at` places single fields elsewhere (unions, packed specs); those
 * after such a field follow it.
 */
export function struct<Fields extends StructFields>(
  name: string,
  fields: Fields,
  at: { [Name in keyof Fields]?: number } & { readonly size?: number } = {},
): Layout<Fields> {
  const offsets = {} as { [Name in keyof Fields]: number };
  let next = 0;
  let end = 0;
  let alignment = 1;
  for (const key of Object.keys(fields) as (keyof Fields & string)[]) {
    const field = fields[key] as Field;
    const offset = at[key] ?? roundUp(next, alignmentOf(field));
    offsets[key] = offset as number;
    next = (offset as number) + sizeOf(field);
    end = Math.max(end, next);
    alignment = Math.max(alignment, alignmentOf(field));
  }
  const size = (at.size as number | undefined) ?? roundUp(end, alignment);
  return layoutOf(name, fields, offsets, { size, alignment });
}

/** The layout of a struct without padding, as tables of firmware have it. */
export function packedStruct<Fields extends StructFields>(name: string, fields: Fields): Layout<Fields> {
  const offsets = {} as { [Name in keyof Fields]: number };
  let size = 0;
  for (const key of Object.keys(fields) as (keyof Fields & string)[]) {
    offsets[key] = size;
    size += sizeOf(fields[key] as Field);
  }
  return layoutOf(name, fields, offsets, { size, alignment: 1 });
}

function layoutOf<Fields extends StructFields>(
  name: string,
  fields: Fields,
  offsets: { [Name in keyof Fields]: number },
  { size, alignment }: { size: number; alignment: number },
): Layout<Fields> {
  const StructView = viewClass(fields, offsets, size);
  return {
    name,
    size,
    alignment,
    fields,
    offsets,
    at: (buffer, byteOffset = 0) => new StructView(buffer, byteOffset) as unknown as View<Fields>,
    allocate: (trailing = 0) =>
      new StructView(new ArrayBuffer(size + trailing), 0, trailing) as unknown as View<Fields>,
  };
}

function viewClass<Fields extends StructFields>(
  fields: Fields,
  offsets: { [Name in keyof Fields]: number },
  size: number,
) {
  class StructView {
    readonly bytes: Uint8Array;
    readonly dataView: DataView;

    constructor(buffer: ArrayBufferLike, byteOffset: number, trailing = 0) {
      this.bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, size + trailing);
      this.dataView = new DataView(buffer as ArrayBuffer, byteOffset, size + trailing);
      for (const [key, field] of Object.entries(fields)) {
        if (field.kind === 'scalar') continue;
        const start = byteOffset + (offsets[key] as number);
        Object.defineProperty(this, key, { enumerable: true, value: aggregate(field, buffer, start) });
      }
    }
  }
  for (const [key, field] of Object.entries(fields)) {
    if (field.kind !== 'scalar') continue;
    const { read, write } = field as Scalar<unknown>;
    const offset = offsets[key] as number;
    Object.defineProperty(StructView.prototype, key, {
      get(this: StructView) {
        return read(this.dataView, offset);
      },
      set(this: StructView, value: unknown) {
        write(this.dataView, offset, value);
      },
    });
  }
  return StructView;
}

function aggregate(
  field: Exclude<Field, Scalar<number> | Scalar<bigint>>,
  buffer: ArrayBufferLike,
  start: number,
) {
  switch (field.kind) {
    case 'bytes':
      return new Uint8Array(buffer as ArrayBuffer, start, field.size);
    case 'nested':
      return field.layout.at(buffer, start);
    case 'elements':
      return Array.from({ length: field.count }, (_, i) =>
        field.layout.at(buffer, start + i * field.layout.size),
      );
  }
}
