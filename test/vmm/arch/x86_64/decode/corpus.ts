/**
 * Compares the operand decoder with objdump and Zydis, over all instructions of programs and of the opcode space:
 *
 *     npx tsx test/vmm/arch/x86_64/decode/corpus.ts [--cache folder] [--no-zydis] [file ...]
 *
 * Without files: the opcode space; this machine's libc, libcrypto, busybox and node; a 32-bit libc and a Debian kernel
 * with modules, which are downloaded into the cache folder, as Zydis is. Takes minutes; the tests take a sample of it.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OperandDecoder } from '../../../../../vmm/arch/x86_64/decode/operand-decoder.ts';
import {
  everything,
  evexEncodings,
  legacyEncodings,
  registerFormEncodings,
  vexEncodings,
  xopEncodings,
} from './encodings.ts';
import { disassemble } from './objdump.ts';
import { disagreement as objdumpDisagreement } from './objdump-compare.ts';
import { sampleCpu } from './sample-cpu.ts';
import { askZydis, buildZydisOracle, unpackPackages } from './zydis.ts';
import { disagreement as zydisDisagreement } from './zydis-compare.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    cache: { type: 'string', default: join(tmpdir(), 'tsvmm-corpus') },
    zydis: { type: 'boolean', default: true },
  },
});
mkdirSync(values.cache, { recursive: true });
const oracle = values.zydis ? buildZydisOracle(values.cache) : undefined;
const BATCH = 200_000;
/** Follows each encoding of the opcode space. */
const IMMEDIATE = [0x22, 0x33, 0x04, 0x55, 0x66, 0x77, 0x08, 0x29, 0x3a, 0x4b, 0x5c];

/** How often something was wrong, by mnemonic, with one example. */
class Findings {
  private readonly found = new Map<string, { count: number; example: string }>();

  add(mnemonic: string, what: string, bytes: Uint8Array): void {
    const known = this.found.get(mnemonic);
    if (known !== undefined) known.count++;
    else this.found.set(mnemonic, { count: 1, example: `${Buffer.from(bytes).toString('hex')}: ${what}` });
  }

  print(title: string): void {
    console.log(`${title}: ${this.found.size === 0 ? 'no difference' : 'DIFFERENCES'}`);
    for (const [mnemonic, { count, example }] of this.found)
      console.log(`  ${count} x ${mnemonic}, e.g. ${example}`);
    if (this.found.size > 0) process.exitCode = 1;
  }
}

/** Distinct byte strings: a Set holds 16 million at most, so there is one for each last byte. */
class Distinct {
  private readonly sets = Array.from({ length: 256 }, () => new Set<string>());
  count = 0;

  isNew(bytes: Uint8Array): boolean {
    const set = this.sets[bytes[bytes.length - 1] as number] as Set<string>;
    const text = Buffer.from(bytes).toString('latin1');
    if (set.has(text)) return false;
    set.add(text);
    this.count++;
    return true;
  }
}

function compareWithZydis(
  mode: 16 | 32 | 64,
  instructions: readonly Uint8Array[],
  findings: Findings,
): number {
  if (oracle === undefined) return 0;
  const cpu = sampleCpu(mode);
  const decoder = new OperandDecoder(cpu);
  let valid = 0;
  let i = 0;
  for (const theirs of askZydis(oracle, cpu, instructions)) {
    const bytes = instructions[i++] as Uint8Array;
    if (theirs.length === 0) continue;
    valid++;
    const what = zydisDisagreement(decoder.decode(bytes, bytes.length), theirs);
    if (what !== undefined) findings.add(theirs.mnemonic, `Zydis: ${what}`, bytes);
  }
  return valid;
}

function compareOpcodeSpace(name: string, mode: 16 | 32 | 64, encodings: Iterable<readonly number[]>): void {
  const findings = new Findings();
  const all = Array.from(encodings, head => Uint8Array.from([...head, ...IMMEDIATE].slice(0, 15)));
  let valid = 0;
  for (let start = 0; start < all.length; start += BATCH)
    valid += compareWithZydis(mode, all.slice(start, start + BATCH), findings);
  findings.print(`${name}, ${mode}-bit: ${all.length} encodings, ${valid} instructions`);
}

const distinctByMode = { 32: new Distinct(), 64: new Distinct() };

/** By the class in the ELF header. */
function elfMode(file: string): 32 | 64 {
  const header = Buffer.alloc(5);
  const fd = openSync(file, 'r');
  readSync(fd, header);
  closeSync(fd);
  return header[4] === 1 ? 32 : 64;
}

async function compareProgram(file: string): Promise<void> {
  const findings = new Findings();
  const mode = elfMode(file);
  const distinct = distinctByMode[mode];
  const cpu = sampleCpu(mode);
  const decoder = new OperandDecoder(cpu);
  const before = distinct.count;
  let total = 0;
  let writes = 0;
  let batch: Uint8Array[] = [];
  for await (const theirs of disassemble('-d', file)) {
    total++;
    if (!distinct.isNew(theirs.bytes)) continue;
    const ours = decoder.decode(theirs.bytes, theirs.bytes.length);
    if (ours.access.subarray(0, ours.count).some(access => (access & 1) !== 0)) writes++;
    const what = objdumpDisagreement(ours, theirs, cpu);
    if (what !== undefined)
      findings.add(theirs.mnemonic, `objdump: ${what} (${theirs.operands})`, theirs.bytes);
    batch.push(theirs.bytes);
    if (batch.length === BATCH) {
      compareWithZydis(mode, batch, findings);
      batch = [];
    }
  }
  compareWithZydis(mode, batch, findings);
  findings.print(
    `${file}: ${total} instructions, ${distinct.count - before} not seen before, ${writes} of them write memory`,
  );
}

/** The kernel of the distribution, unpacked: its vmlinux and the modules with hand-written vector code. */
function fetchKernel(): string[] {
  const folder = join(values.cache, 'kernel');
  const vmlinux = join(folder, 'vmlinux');
  if (!existsSync(vmlinux)) {
    const depends = execFileSync('apt-cache', ['depends', 'linux-image-amd64'], { encoding: 'utf8' });
    const name = /Depends: (linux-image-[\w.-]+)/.exec(depends)?.[1] ?? 'linux-image-amd64';
    unpackPackages([name], folder);
    const [image = ''] = filesUnder(join(folder, 'boot'), /^vmlinuz-/);
    writeFileSync(vmlinux, unpackImage(readFileSync(image)));
  }
  return [vmlinux, ...filesUnder(join(folder, 'lib/modules'), /\/arch\/x86\/.*\.ko$/)];
}

/** Code for 32-bit mode. */
function fetchLegacyLibrary(): string[] {
  const folder = join(values.cache, 'libc-i386');
  if (!existsSync(folder)) unpackPackages(['libc6-i386'], folder);
  return filesUnder(folder, /(libc|libm)\.so\.6$/);
}

const filesUnder = (folder: string, wanted: RegExp): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => wanted.test(name))
    .map(name => join(folder, name));

/** The compressed kernel inside of a bzImage: Debian's are xz. */
function unpackImage(image: Buffer): Buffer {
  const start = image.indexOf(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]));
  if (start < 0) throw new Error('no xz stream in the kernel image');
  // What follows the stream makes xz complain after it has written everything.
  return execFileSync('sh', ['-c', 'xz -dc --single-stream || true'], {
    input: image.subarray(start),
    maxBuffer: 2 ** 30,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

const programs = [
  '/lib/x86_64-linux-gnu/libc.so.6',
  '/lib/x86_64-linux-gnu/libcrypto.so.3',
  '/bin/busybox',
  process.execPath,
].filter(existsSync);

if (oracle !== undefined && positionals.length === 0) {
  for (const mode of [64, 32, 16] as const)
    compareOpcodeSpace('legacy', mode, legacyEncodings(mode, everything));
  compareOpcodeSpace('register forms', 64, registerFormEncodings());
  compareOpcodeSpace('XOP', 64, xopEncodings(everything));
  for (const mode of [64, 32] as const) {
    compareOpcodeSpace('VEX', mode, vexEncodings(mode, everything));
    compareOpcodeSpace('EVEX', mode, evexEncodings(mode, everything));
  }
}
for (const file of positionals.length > 0
  ? positionals
  : [...programs, ...fetchLegacyLibrary(), ...fetchKernel()])
  await compareProgram(file);
for (const [mode, { count }] of Object.entries(distinctByMode))
  console.log(`${count} distinct ${mode}-bit instructions of programs`);
