/**
 * A small encoder of AML, the byte code of ACPI's DSDT (ACPI 6.5 chapter 20). Each function answers the bytes of one
 * term of ACPI's source language, ASL, and takes those of the terms inside it.
 */

export type Aml = Uint8Array;

const Op = {
  ZERO: 0x00,
  ONE: 0x01,
  NAME: 0x08,
  BYTE: 0x0a,
  WORD: 0x0b,
  DWORD: 0x0c,
  STRING: 0x0d,
  QWORD: 0x0e,
  SCOPE: 0x10,
  BUFFER: 0x11,
  PACKAGE: 0x12,
  METHOD: 0x14,
  DUAL_NAME: 0x2e,
  MULTI_NAME: 0x2f,
  LOCAL0: 0x60,
  STORE: 0x70,
  AND: 0x7b,
  NOTIFY: 0x86,
  IF: 0xa0,
} as const;
const EXTENDED = 0x5b;
const Extended = { REGION: 0x80, FIELD: 0x81, DEVICE: 0x82 } as const;

export const AddressSpace = { MEMORY: 0, IO: 1 } as const;

const joined = (parts: readonly (Aml | readonly number[])[]): Aml => {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
};

const ascii = (text: string): Aml => new TextEncoder().encode(text);

/** Section 20.2.4: the length counts its own bytes too. */
function packageLength(contentBytes: number): number[] {
  if (contentBytes + 1 < 64) return [contentBytes + 1];
  for (let extra = 1; extra <= 3; extra++) {
    const length = contentBytes + 1 + extra;
    if (length >= 2 ** (4 + 8 * extra)) continue;
    const rest = Array.from({ length: extra }, (_, i) => (length >> (4 + 8 * i)) & 0xff);
    return [(extra << 6) | (length & 0xf), ...rest];
  }
  throw new RangeError(`a term of ${contentBytes} bytes is too long for AML`);
}

/** An opcode, a package length and what it spans. */
const spanning = (opcode: readonly number[], ...content: (Aml | readonly number[])[]): Aml => {
  const body = joined(content);
  return joined([opcode, packageLength(body.length), body]);
};

/** Section 20.2.2: `\_SB.PWRB`; each segment has up to four characters. */
function path(name: string): Aml {
  const isRoot = name.startsWith('\\');
  const segments = name.slice(isRoot ? 1 : 0).split('.');
  for (const segment of segments)
    if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment)) throw new RangeError(`"${name}" is no ACPI name`);
  const count = segments.length;
  const prefix = count === 1 ? [] : count === 2 ? [Op.DUAL_NAME] : [Op.MULTI_NAME, count];
  return joined([
    isRoot ? ascii('\\') : [],
    prefix,
    ...segments.map(segment => ascii(segment.padEnd(4, '_'))),
  ]);
}

const littleEndian = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);

/** The shortest form of a whole number below 2^53. */
export function integer(value: number): Aml {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no AML integer`);
  if (value <= 1) return new Uint8Array([value === 0 ? Op.ZERO : Op.ONE]);
  const [op, bytes] =
    value < 2 ** 8
      ? [Op.BYTE, 1]
      : value < 2 ** 16
        ? [Op.WORD, 2]
        : value < 2 ** 32
          ? [Op.DWORD, 4]
          : [Op.QWORD, 8];
  return new Uint8Array([op, ...littleEndian(value, bytes)]);
}

export const string = (text: string): Aml => joined([[Op.STRING], ascii(text), [0]]);
export const buffer = (bytes: Uint8Array): Aml => spanning([Op.BUFFER], integer(bytes.length), bytes);
export const packageOf = (...elements: Aml[]): Aml => spanning([Op.PACKAGE], [elements.length], ...elements);

/** EISAID("PNP0C0C"): three letters of five bits and four hex digits (section 19.6.37). */
export function eisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw new RangeError(`"${id}" is no EISA id`);
  const letters = [...id.slice(0, 3)].reduce((sum, letter) => sum * 32 + letter.charCodeAt(0) - 0x40, 0);
  const product = Number.parseInt(id.slice(3), 16);
  const bytes = [letters >> 8, letters & 0xff, product >> 8, product & 0xff];
  return joined([[Op.DWORD], bytes]);
}

export const name = (of: string, value: Aml): Aml => joined([[Op.NAME], path(of), value]);
export const scope = (of: string, ...terms: Aml[]): Aml => spanning([Op.SCOPE], path(of), ...terms);
export const device = (of: string, ...terms: Aml[]): Aml =>
  spanning([EXTENDED, Extended.DEVICE], path(of), ...terms);

/** A serialized method: one caller at a time. */
export const method = (of: string, argumentCount: number, ...terms: Aml[]): Aml =>
  spanning([Op.METHOD], path(of), [argumentCount | (1 << 3)], ...terms);

export const operationRegion = (of: string, space: number, offset: number, length: number): Aml =>
  joined([[EXTENDED, Extended.REGION], path(of), [space], integer(offset), integer(length)]);

/** One field of 32 bits at the beginning of a region, accessed as a whole (section 20.2.5.2). */
export const dwordField = (region: string, field: string): Aml => {
  const DWORD_ACCESS = 3;
  return spanning([EXTENDED, Extended.FIELD], path(region), [DWORD_ACCESS], path(field), [32]);
};

export const local = (index: number): Aml => new Uint8Array([Op.LOCAL0 + index]);
export const reference = (of: string): Aml => path(of);
export const store = (value: Aml, target: Aml): Aml => joined([[Op.STORE], value, target]);
/** The result goes nowhere but into the term around it. */
export const and = (a: Aml, b: Aml): Aml => joined([[Op.AND], a, b, [Op.ZERO]]);
export const when = (predicate: Aml, ...terms: Aml[]): Aml => spanning([Op.IF], predicate, ...terms);
export const notify = (object: string, value: number): Aml =>
  joined([[Op.NOTIFY], path(object), integer(value)]);

/** Resource descriptors (section 6.4) as the buffer that _CRS answers; without checksum, which 0 stands for. */
export const resourceTemplate = (...descriptors: Aml[]): Aml => {
  const END_TAG = 0x79;
  return buffer(joined([...descriptors, [END_TAG, 0]]));
};

/** Memory32Fixed, read and write (section 6.4.3.4). */
export const memory32Fixed = (base: number, length: number): Aml =>
  new Uint8Array([0x86, 9, 0, 1, ...littleEndian(base, 4), ...littleEndian(length, 4)]);

/** Ports that a device decodes in 16 bits (section 6.4.2.5). */
export const ports = (base: number, length: number): Aml =>
  new Uint8Array([0x47, 1, ...littleEndian(base, 2), ...littleEndian(base, 2), 1, length]);

/** An interrupt of its own, active high, by edges (section 6.4.3.6). */
export const edgeInterrupt = (gsi: number): Aml => {
  const CONSUMER = 1 << 0;
  const EDGE = 1 << 1;
  return new Uint8Array([0x89, 6, 0, CONSUMER | EDGE, 1, ...littleEndian(gsi, 4)]);
};
