import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Layout, StructFields } from '../../../vmm/ffi/struct.ts';
import { evaluateC, lacksCompiler } from '../../support/c-program.ts';
import { testUnless } from '../../support.ts';

const root = join(import.meta.dirname, '../../..');
const headers = [
  'asm/bootparam.h',
  'elf.h',
  'signal.h',
  'sys/epoll.h',
  'sys/timerfd.h',
  'sys/uio.h',
  'linux/if.h',
  'linux/kvm.h',
  'linux/if_tun.h',
  'linux/userfaultfd.h',
  'linux/virtio_balloon.h',
  'linux/virtio_blk.h',
  'linux/virtio_console.h',
  'linux/virtio_net.h',
];

/**
 * What not every machine has a header for: xen/include/public/arch-x86/hvm/start_info.h, and what older kernel headers
 * lack.
 */
const declarations = `
  #include <stdint.h>
  #ifndef UFFDIO_MOVE
  struct uffdio_move { uint64_t dst, src, len, mode; int64_t move; };
  #endif
  struct hvm_start_info { uint32_t magic, version, flags, nr_modules; uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr,
    memmap_paddr; uint32_t memmap_entries, reserved; };
  struct hvm_modlist_entry { uint64_t paddr, size, cmdline_paddr, reserved; };
  struct hvm_memmap_table_entry { uint64_t addr, size; uint32_t type, reserved; };`;

/** Layouts of our own, which no header declares. */
const ours = new Set(['receive_filter']);

/** Where the header's name of a field is another than the specification's, which the layout has. */
const headerNames: Record<string, Record<string, string>> = {
  itimerspec: {
    interval_seconds: 'it_interval.tv_sec',
    interval_nanoseconds: 'it_interval.tv_nsec',
    value_seconds: 'it_value.tv_sec',
    value_nanoseconds: 'it_value.tv_nsec',
  },
  uffdio_writeprotect: { start: 'range.start', len: 'range.len' },
  virtio_blk_config: {
    geometry_cylinders: 'geometry.cylinders',
    geometry_heads: 'geometry.heads',
    geometry_sectors: 'geometry.sectors',
    topology_physical_block_exp: 'physical_block_exp',
    topology_alignment_offset: 'alignment_offset',
    topology_min_io_size: 'min_io_size',
    topology_opt_io_size: 'opt_io_size',
    writeback: 'wce',
    unused0: 'unused',
  },
};

type AnyLayout = Layout<StructFields>;

/** Only vmm talks to the kernel in structs; elsewhere they describe formats of our own. */
const sourcesWithStructs = readdirSync(join(root, 'vmm'), { recursive: true, encoding: 'utf8' })
  .map(file => join('vmm', file))
  .filter(file => file.endsWith('.ts') && file !== 'vmm/ffi/struct.ts')
  .filter(file => /\bstruct\(/.test(readFileSync(join(root, file), 'utf8')));

const isLayout = (value: unknown): value is AnyLayout =>
  typeof value === 'object' && value !== null && 'offsets' in value && 'alignment' in value;

async function exportedLayouts(file: string): Promise<AnyLayout[]> {
  const module = (await import(join(root, file))) as Record<string, unknown>;
  return Object.values(module).filter(isLayout);
}

const layouts = (await Promise.all(sourcesWithStructs.map(exportedLayouts))).flat();
const test = suite('layouts');

for (const file of sourcesWithStructs) {
  test(`struct() in ${file}: every layout is exported, so that it is compared here`, async () => {
    const declared = readFileSync(join(root, file), 'utf8').match(/= (struct|packedStruct)\(/g)?.length;
    assert.is((await exportedLayouts(file)).length, declared);
  });
}

const cType = ({ name }: AnyLayout): string => (/^[A-Z]/.test(name) ? name : `struct ${name}`);
const fieldSize = (field: StructFields[string]): number => {
  if (field.kind === 'nested') return field.layout.size;
  return field.kind === 'elements' ? field.layout.size * field.count : field.size;
};

/** Configuration spaces grow with each version of the specification; a layout ends with the last field in use. */
const mayEndEarly = (expression: string) => /^sizeof\(struct virtio_\w+_config\)$/.test(expression);

/** C expressions and what a layout says they are. */
function claims(layout: AnyLayout): [expression: string, value: number][] {
  const type = cType(layout);
  return [
    [`sizeof(${type})`, layout.size],
    ...Object.entries(layout.fields).flatMap(([field, kind]): [string, number][] => {
      const name = headerNames[layout.name]?.[field] ?? field;
      return [
        [`offsetof(${type}, ${name})`, layout.offsets[field] as number],
        [`sizeof(((${type} *)0)->${name})`, fieldSize(kind)],
      ];
    }),
  ];
}

testUnless(
  lacksCompiler(),
  test,
  'struct(): sizes and offsets of every layout are those of the C compiler',
  () => {
    const expected = layouts.filter(({ name }) => !ours.has(name)).flatMap(claims);
    const actual = evaluateC({
      headers,
      declarations,
      expressions: expected.map(([expression]) => expression),
    });
    const wrong = expected.filter(([expression, value]) => {
      const measured = Number(actual.get(expression));
      return measured !== value && !(mayEndEarly(expression) && measured > value);
    });
    assert.equal(
      wrong.map(([expression, value]) => `${expression} is ${actual.get(expression)}, declared ${value}`),
      [],
    );
    assert.ok(layouts.length >= 30, `${layouts.length} layouts`);
  },
);

test.run();
