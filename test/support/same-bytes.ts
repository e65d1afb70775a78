/** Throws, naming the first difference, unless the two are equal: uvu's own comparison takes minutes to draw one. */
export function sameBytes(actual: Uint8Array, expected: Uint8Array, what = 'bytes'): void {
  if (actual.length !== expected.length)
    throw new Error(`${what}: ${actual.length} bytes, not ${expected.length}`);
  if (Buffer.compare(actual, expected) === 0) return;
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  throw new Error(`${what}: byte ${at} is ${actual[at]}, not ${expected[at]}`);
}
