import type { DiskGeometry } from './geometry.ts';
import type { Layer } from './layer.ts';
import { BlockState } from './layer-format.ts';

/** Who has a block: nobody, so that it reads as zeros; the base; or the layer at Owner.FIRST_LAYER + its position. */
export const Owner = { NOBODY: 0, BASE: 1, FIRST_LAYER: 2 } as const;
/** The owner is kept in a byte. */
export const MAXIMUM_LAYERS = 256 - Owner.FIRST_LAYER;

/** The owner of every block, so that a read needs one look-up however many layers there are. */
export class OwnerTable {
  private readonly owners: Uint8Array;

  constructor({ blockCount, blockSize }: DiskGeometry, baseSize: number) {
    this.owners = new Uint8Array(blockCount);
    this.owners.fill(Owner.BASE, 0, Math.ceil(baseSize / blockSize));
  }

  /** Puts the opened layer at `position`, counted from the bottom, over what is there. */
  lay(layer: Layer, position: number): void {
    const owner = Owner.FIRST_LAYER + position;
    layer.forEachRun((first, end, state) =>
      this.owners.fill(state === BlockState.DATA ? owner : Owner.NOBODY, first, end),
    );
  }

  /** Renames all owners: `names[owner]` is the new name of `owner`. */
  rename(names: Uint8Array): void {
    const { owners } = this;
    for (let block = 0; block < owners.length; block++)
      owners[block] = names[owners[block] as number] as number;
  }

  at(block: number): number {
    return this.owners[block] as number;
  }

  /** Makes `owner` the one of the blocks [first, end). */
  give(first: number, end: number, owner: number): void {
    if (end - first === 1) this.owners[first] = owner;
    else this.owners.fill(owner, first, end);
  }

  /** The end, at most `limit`, of the run of blocks from `block` on that have one owner. */
  runEnd(block: number, limit: number): number {
    const owner = this.owners[block];
    let end = block + 1;
    while (end < limit && this.owners[end] === owner) end++;
    return end;
  }

  /** Whether `owner` has all blocks of [first, end). */
  ownsAll(owner: number, first: number, end: number): boolean {
    for (let block = first; block < end; block++) if (this.owners[block] !== owner) return false;
    return true;
  }

  /** Whether `owner` has any block of [first, end). */
  ownsAny(owner: number, first: number, end: number): boolean {
    return this.owners.subarray(first, end).includes(owner);
  }
}
