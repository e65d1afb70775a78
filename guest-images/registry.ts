/** A guest that tsvmm builds from sources in the package. */
export interface GuestImage {
  readonly name: string;
  readonly summary: string;
  /** Directory of its sources in the package; their content decides whether a built image is fresh. */
  readonly sources: string;
  /** The file that a built image consists of. */
  readonly file: string;
  readonly loadBuilder: () => Promise<{ readonly build: ImageBuilder }>;
}

/** Builds the image of `sources` into `directory`. Throws TSVMM_E_TOOL_MISSING, TSVMM_E_IMAGE_BUILD. */
export type ImageBuilder = (sources: string, directory: string, options: ImageBuildOptions) => Promise<void>;

export interface ImageBuildOptions {
  /** Kept from build to build: what was fetched. */
  readonly cacheDirectory: string;
  /** The lwIP sources, instead of those that are fetched. */
  readonly lwip?: string | undefined;
  /** Is told what goes on, a few words at a time. */
  readonly progress: (step: string) => void;
  /** Ends the build and what it started. */
  readonly signal?: AbortSignal | undefined;
}

export const guestImages: readonly GuestImage[] = [
  {
    name: 'bench',
    summary: 'small guest with self-checking workloads',
    sources: 'guest-images/bench',
    file: 'guest.elf',
    loadBuilder: () => import('./build-bench.ts'),
  },
];
