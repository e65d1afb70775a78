import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { TsvmmError } from '../../vmm/errors.ts';
import type { VmMemory } from '../api/balloon-routes.ts';
import { ControlClient } from '../api/client.ts';
import { parseSize } from '../config/units.ts';
import { findTarget } from '../home/target.ts';
import { type FormatOptions, formatOption, print, printJson } from '../ui/output.ts';
import { styledTable } from '../ui/table.ts';
import { humanSize } from '../ui/units.ts';

const POLL_MS = 100;

interface Options extends FormatOptions {
  readonly timeout: number;
}

export function define(command: Command): void {
  command
    .argument('<cluster/vm>', 'the VM')
    .argument('[size]', 'the memory that the guest is to have, such as 512MiB', size)
    .option('--timeout <seconds>', 'how long the guest may take', seconds, 30)
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Takes memory from a running guest, or gives it back, by its balloon driver ("balloon: true" in the cluster file). Memory
goes back to the host in pieces of 2 MiB. Without a size: what the guest has, and what it says about it.

Examples:
  tsvmm balloon pair/server 512MiB
  tsvmm balloon pair/server`,
    )
    .action(balloon);
}

async function balloon(
  text: string,
  size_bytes: number | undefined,
  { timeout, format }: Options,
): Promise<void> {
  const { entry, vm } = await findTarget(text);
  if (vm === undefined) throw new TsvmmError('TSVMM_E_USAGE', 'say which VM, as cluster/vm');
  const client = new ControlClient(entry);
  if (size_bytes !== undefined) await client.post('/v1/balloon', { vm, size_bytes });
  const memory = await settle(client, vm, size_bytes === undefined ? 0 : timeout * 1000);
  if (format === 'json') printJson(memory);
  else show(memory);
  if (size_bytes !== undefined && memory.actual_bytes !== memory.target_bytes) {
    throw new TsvmmError('TSVMM_E_TIMEOUT', `the guest has not got there: ${reasonOf(memory)}`, {
      hint: 'it gives what it can spare; allow more time with --timeout S',
    });
  }
}

/** Asks until the guest has done what it was told, or the time is up. */
async function settle(client: ControlClient, vm: string, timeout_ms: number): Promise<VmMemory> {
  for (const end_ms = performance.now() + timeout_ms; ; await sleep(POLL_MS)) {
    const memory = await client.get<VmMemory>('/v1/balloon', { query: { vm } });
    if (memory.actual_bytes === memory.target_bytes || performance.now() >= end_ms) return memory;
  }
}

function reasonOf({ state, live, memory_bytes, actual_bytes }: VmMemory): string {
  if (state !== 'running') return `it is ${state}`;
  return live ? `it has ${humanSize(memory_bytes - actual_bytes)}` : 'no driver serves the balloon';
}

function show({ memory_bytes, target_bytes, actual_bytes, statistics }: VmMemory): void {
  const rows = [
    ['memory', humanSize(memory_bytes)],
    ['wanted', humanSize(memory_bytes - target_bytes)],
    ['has', humanSize(memory_bytes - actual_bytes)],
    ...Object.entries(statistics).map(([name, value]) =>
      name.endsWith('_bytes')
        ? [name.slice(0, -'_bytes'.length).replaceAll('_', ' '), humanSize(value)]
        : [name.replaceAll('_', ' '), String(value)],
    ),
  ];
  print(styledTable(['WHAT', 'VALUE'], rows));
}

function size(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined) throw new InvalidArgumentError('expected a size such as 512MiB');
  return bytes;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3600)) throw new InvalidArgumentError('expected seconds, such as 30');
  return value;
}
