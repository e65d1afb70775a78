/** A guest that tsvmm builds from sources in the package. */
export interface GuestImage {
  readonly name: string;
  readonly summary: string;
  /** Directory of its sources in the package; their content decides whether a built image is fresh. */
  readonly sources: string;
  /** Names of the files that a built image consists of. */
  readonly files: ImageFiles;
  /** The first words of its command line; those of the cluster file and of tsvmm follow. */
  readonly cmdline?: string;
  /** Made by the compiler: that of another compiler is another image. */
  readonly isCompiled: boolean;
  /** Packages of the distribution can be put into it. */
  readonly takesPackages?: boolean;
  readonly loadBuilder: () => Promise<{ readonly build: ImageBuilder }>;
}

/** What a guest boots from. */
export interface ImageFiles {
  readonly kernel: string;
  readonly initrd?: string;
  /** A raw disk that is only read: what a VM writes goes to a layer of its own. */
  readonly disk?: string;
}

/** Builds the image of `sources` into `directory`. Throws TSVMM_E_TOOL_MISSING, TSVMM_E_IMAGE_BUILD. */
export type ImageBuilder = (sources: string, directory: string, options: ImageBuildOptions) => Promise<void>;

export interface ImageBuildOptions {
  /** Kept from build to build: what was fetched. */
  readonly cacheDirectory: string;
  /** The lwIP sources, instead of those that are fetched. */
  readonly lwip?: string | undefined;
  /** Packages of the distribution that the image is to have, sorted. */
  readonly packages: readonly string[];
  /** Is told what goes on, a few words at a time. */
  readonly progress: (step: string) => void;
  /** Nothing that an earlier build has made is to be used, only what was fetched. */
  readonly anew?: boolean | undefined;
  /** Ends the build and what it started. */
  readonly signal?: AbortSignal | undefined;
}

export const guestImages: readonly GuestImage[] = [
  {
    name: 'bench',
    summary: 'small guest with self-checking workloads',
    sources: 'guest-images/bench',
    files: { kernel: 'guest.elf' },
    isCompiled: true,
    loadBuilder: () => import('./build-bench.ts'),
  },
  {
    name: 'linux',
    summary: 'minimal Linux kernel with busybox; boots within seconds even where KVM works in software',
    sources: 'guest-images/linux',
    files: { kernel: 'vmlinux', initrd: 'initrd.cpio' },
    cmdline: 'console=ttyS0 quiet panic=-1 reboot=k',
    // A kernel is as good whichever compiler made it.
    isCompiled: false,
    loadBuilder: () => import('./build-linux.ts'),
  },
  {
    name: 'debian',
    summary: 'minimal Debian with its stock cloud kernel; takes packages',
    sources: 'guest-images/debian',
    files: { kernel: 'vmlinuz', initrd: 'initrd.img', disk: 'root.img' },
    cmdline: 'console=ttyS0 root=/dev/vda rw quiet net.ifnames=0 panic=-1',
    isCompiled: false,
    takesPackages: true,
    loadBuilder: () => import('./build-debian.ts'),
  },
];
