import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildBzImage } from '../../../support/bzimage.ts';

const BASE = 0x200000;

const compile = [
  '-c',
  '-O1',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-ffreestanding',
  '-fno-pic',
  '-fno-pie',
  '-mno-red-zone',
];
const plain = [
  '-mgeneral-regs-only',
  '-fno-stack-protector',
  '-fcf-protection=none',
  '-fno-asynchronous-unwind-tables',
];
const places = `-N,--section-start=.head=0x${BASE.toString(16)},-Ttext=0x${(BASE + 0x400).toString(16)}`;
const link = ['-nostdlib', '-static', '-no-pie', `-Wl,${places},-e,entry64,--build-id=none,--no-warnings`];

function run(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} failed: ${stderr}`);
}

interface Probe {
  readonly elf: string;
  readonly bzImage: string;
}

const built = new Map<string, Probe>();

/** The probe kernel (probe.c), compiled in `directory` once: as a vmlinux would be, and as the code of a bzImage. */
export function buildProbe(directory: string): Probe {
  const probe = built.get(directory) ?? compileProbe(directory);
  built.set(directory, probe);
  return probe;
}

function compileProbe(directory: string): Probe {
  const [object, elf, flat] = ['probe.o', 'probe.elf', 'probe.bin'].map(name => join(directory, name)) as [
    string,
    string,
    string,
  ];
  run('gcc', [...compile, ...plain, '-o', object, join(import.meta.dirname, 'probe.c')]);
  run('gcc', [...link, '-o', elf, object]);
  run('objcopy', ['-O', 'binary', elf, flat]);
  const bzImage = join(directory, 'bzImage');
  writeFileSync(bzImage, buildBzImage({ code: readFileSync(flat), prefAddress: BASE, setupSectors: 4 }));
  return { elf, bzImage };
}
