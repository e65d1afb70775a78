import type { PreCopyRequest } from './pre-copier.ts';

/** How the last round went, in a word of shared memory. */
export const RestDone = { NOT_YET: 0, COPIED: 1, FAILED: 2 } as const;

export type PreCopyMessage =
  | { readonly start: PreCopyRequest }
  /** Copies what was written since, and answers how many chunks. */
  | 'written'
  /** The same in the pause; who waits there looks at this word, as its thread takes no messages meanwhile. */
  | { readonly rest: Int32Array }
  /** Waits until the file is on the disk; answers a SaveResult. */
  | { readonly sync: number }
  | 'close';
