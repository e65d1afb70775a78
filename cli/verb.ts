import type { Command } from 'commander';

/** What the module of a verb exports. */
export interface VerbModule {
  /**
   * Declares the verb's arguments, options, examples and action on `command`. The action throws a TsvmmError when it
   * fails; it sets process.exitCode where the contract names another code than 0 for a success.
   */
  define(command: Command): void;
}

/** One line of the verb table. */
export interface VerbEntry {
  readonly summary: string;
  /** The heading it stands under in `tsvmm --help`. */
  readonly group: VerbGroup;
  readonly load: () => Promise<VerbModule>;
}

export const verbGroups = ['Clusters', 'Snapshots', 'Looking inside', 'Guests and host'] as const;
export type VerbGroup = (typeof verbGroups)[number];
