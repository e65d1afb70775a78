import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { TsvmmError } from '../vmm/errors.ts';
import { removeAbandoned } from './abandoned.ts';
import { buildFailed } from './build-failed.ts';
import type { ImageBuildOptions } from './registry.ts';
import { requireTools, runTool } from './run-tool.ts';

const LWIP_HINT = 'or download lwIP yourself and name its directory: tsvmm image build bench --lwip DIR';

/** The built-in guest: C and assembly of ours, linked with lwIP. */
export async function build(sources: string, directory: string, options: ImageBuildOptions): Promise<void> {
  const { progress, signal } = options;
  requireTools(
    ['gcc', 'make', 'ld', 'strip'],
    'building the guest image bench',
    'on Debian or Ubuntu: apt install gcc make',
  );
  const lwip = options.lwip === undefined ? await fetchLwip(sources, options) : resolve(options.lwip);
  progress('compiling');
  const { code, output } = await runTool(
    'make',
    [`-j${availableParallelism()}`, '-C', sources, `OUT=${directory}`, `LWIP=${lwip}`],
    { signal },
  );
  if (code !== 0) throw buildFailed('bench', 'make failed', output, 'the lines above are from the compiler');
}

/** Answers the directory of the lwIP sources, from the cache or else from the distribution's archive. */
async function fetchLwip(
  sources: string,
  { cacheDirectory, progress, signal }: ImageBuildOptions,
): Promise<string> {
  progress('getting the sources of lwIP');
  removeAbandoned(cacheDirectory);
  const { code, output } = await runTool('sh', [join(sources, 'fetch-lwip.sh'), cacheDirectory], { signal });
  if (code === 0) return output.trimEnd().split('\n').at(-1) ?? '';
  // The script speaks as we do: "error: what" and "hint: what to do".
  const said = (label: string) => new RegExp(`^${label}: (.*)$`, 'm').exec(output)?.[1];
  const what = said('error') ?? 'cannot fetch lwIP';
  const hint = [said('hint'), LWIP_HINT].filter(text => text !== undefined).join('; ');
  if (what.endsWith('is not installed')) throw new TsvmmError('TSVMM_E_TOOL_MISSING', what, { hint });
  throw buildFailed('bench', what, output.replace(/^(error|hint): .*\n?/gm, ''), hint);
}
