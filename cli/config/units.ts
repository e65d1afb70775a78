import { GIB, MIB } from '../../vmm/memory/address.ts';

const KIB = 1024;
const TIB = 1024 * GIB;
const factors: Readonly<Record<string, number>> = { K: KIB, M: MIB, G: GIB, T: TIB };

/** Bytes of a size such as 64MiB, 1G or 1.5GiB (powers of 1024), or undefined if it is none. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,6}(?:\.\d{1,3})?)\s?([KMGT])(?:iB)?$/.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (factors[match[2] as string] as number);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest way to write a size exactly, with the largest unit that divides it: 1GiB, 1536MiB. */
export function formatSize(bytes: number): string {
  for (const [unit, factor] of Object.entries(factors).reverse()) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}iB`;
  }
  return `${bytes}B`;
}

/** A share from 0 to 1, written as such or in percent (0.5%), or undefined if it is none. */
export function parseShare(value: string | number): number | undefined {
  const share = typeof value === 'number' ? value : percent(value);
  return share !== undefined && share >= 0 && share <= 1 ? share : undefined;
}

function percent(text: string): number | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,6})?)\s?%$/.exec(text);
  return match === null ? undefined : Number(match[1]) / 100;
}
