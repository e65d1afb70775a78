/** The byte that makes all bytes of a firmware table add up to 0, modulo 256. */
export const checksumOf = (bytes: Uint8Array): number =>
  (256 - (bytes.reduce((sum, byte) => sum + byte, 0) % 256)) % 256;
