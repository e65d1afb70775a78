/** How chunks of memory may be stored. The names are those of `--compress`, and of the manifest. */
export const compressions = ['none', 'zstd', 'lz4'] as const;
export type Compression = (typeof compressions)[number];
