/** What TSVMM_TIMING made a process print: when each step began, in ms since it was started, as Node.js tells. */
export const timingMarks = (stderr: string): { readonly name: string; readonly at_ms: number }[] =>
  [...stderr.matchAll(/^ *([\d.]+) ms {2}(\S.*?)(?: +took .*)?$/gm)].map(([, at, name]) => ({
    name: (name ?? '').trim(),
    at_ms: Number(at),
  }));
