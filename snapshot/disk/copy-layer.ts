import { open } from 'node:fs/promises';
import { MIB } from '../../vmm/memory/address.ts';
import { corrupt } from './corrupt.ts';
import { writeAll } from './durable-files.ts';
import { BlockState, layerFileSize } from './layer-format.ts';
import { openLayer } from './open-layers.ts';

const PIECE_BYTES = MIB;

/** Copies a layer file, its holes staying holes, to the new file `to`, on stable storage but for its name. */
export async function copyLayer(from: string, to: string): Promise<void> {
  const layer = openLayer(from, false);
  const { geometry } = layer.header;
  const ranges: { start: number; end: number }[] = [];
  layer.forEachRun((first, end, state) => {
    if (state === BlockState.DATA)
      ranges.push({ start: first * geometry.blockSize, end: end * geometry.blockSize });
  });
  ranges.push({ start: geometry.dataEnd, end: layerFileSize(geometry) });

  const piece = new Uint8Array(PIECE_BYTES);
  const file = await open(to, 'wx', 0o600).catch(error => {
    layer.close();
    throw error;
  });
  try {
    for (const { start, end } of ranges) {
      for (let at = start; at < end; at += PIECE_BYTES) {
        const bytes = piece.subarray(0, Math.min(PIECE_BYTES, end - at));
        if (layer.file.readAt(bytes, at) !== bytes.length) throw corrupt(from, 'truncated');
        await writeAll(file, bytes, at);
      }
    }
    await file.sync();
  } finally {
    layer.close();
    await file.close();
  }
}
