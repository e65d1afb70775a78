import type { Command } from 'commander';
import { exitCodes } from '../../vmm/errors.ts';
import type { Check, CheckStatus, Finding } from '../doctor/check.ts';
import { kvmChecks } from '../doctor/kvm.ts';
import { memoryChecks } from '../doctor/memory.ts';
import { networkChecks } from '../doctor/network.ts';
import { softwareChecks } from '../doctor/software.ts';
import { toolChecks } from '../doctor/tools.ts';
import { painter, type Style, wantsColor } from '../ui/color.ts';
import { type FormatOptions, formatOption, print, printJson } from '../ui/output.ts';

const checks: readonly Check[] = [
  ...softwareChecks,
  ...kvmChecks,
  ...memoryChecks,
  ...networkChecks,
  ...toolChecks,
];

interface Result extends Finding {
  readonly name: string;
}

export function define(command: Command): void {
  command
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Looks at everything tsvmm needs, or is better with; nothing is changed and root is not needed. The exit code is 3 when a
check fails; a warning is no failure.

Example:
  tsvmm doctor --format json | jq '.checks[] | select(.status != "pass")'`,
    )
    .action(examine);
}

async function examine({ format }: FormatOptions): Promise<void> {
  const results: Result[] = [];
  for (const { name, run } of checks) results.push({ name, ...(await run()) });
  const count = (status: CheckStatus) => results.filter(result => result.status === status).length;
  if (format === 'json') printJson({ ok: count('fail') === 0, checks: results });
  else print(report(results, `${count('pass')} passed, ${count('warn')} warned, ${count('fail')} failed`));
  if (count('fail') > 0) process.exitCode = exitCodes.hostUnfit;
}

const styles: Readonly<Record<CheckStatus, Style>> = { pass: 'green', warn: 'yellow', fail: 'red' };

function report(results: readonly Result[], summary: string): string {
  const paint = painter(wantsColor(process.stdout));
  const width = Math.max(...results.map(({ name }) => name.length));
  const lines = results.flatMap(({ name, status, detail, hint }) => [
    `${paint(styles[status], status)}  ${name.padEnd(width)}  ${detail}`,
    ...(hint === undefined ? [] : [`${' '.repeat(width + 8)}${paint('dim', `hint: ${hint}`)}`]),
  ]);
  return [...lines, '', summary].join('\n');
}
