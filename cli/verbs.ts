import type { VerbEntry } from './verb.ts';

/** All verbs, in the order in which `tsvmm --help` shows them. Each is one module, loaded when it is asked for. */
export const verbs: Readonly<Record<string, VerbEntry>> = {
  image: {
    group: 'Guests and host',
    summary: 'list and build the guest images',
    load: () => import('./verbs/image.ts'),
  },
  validate: {
    group: 'Guests and host',
    summary: 'check a cluster file and print it fully resolved',
    load: () => import('./verbs/validate.ts'),
  },
};
