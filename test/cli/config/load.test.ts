import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import { loadCluster, parseCluster } from '../../../cli/config/load.ts';
import { asClusterFile } from '../../../cli/config/print.ts';
import type { Problem } from '../../../cli/config/problems.ts';
import { TsvmmError } from '../../../vmm/errors.ts';

const test = suite('parseCluster', { directory: '' });
test.before(context => {
  context.directory = mkdtempSync(join(tmpdir(), 'tsvmm-config-'));
  writeFileSync(join(context.directory, 'vmlinux'), 'kernel');
  writeFileSync(join(context.directory, 'base.raw'), Buffer.alloc(5000));
});
test.after(({ directory }) => rmSync(directory, { recursive: true }));

const pair = `
name: pair
defaults: { image: bench, memory: 128MiB, vcpus: 2 }
vms:
  server:
    args: [tcp-server, port=7]
    nets: [{ network: lan, ip: 10.0.0.1/24 }]
    disks: [{ size: 64MiB }]
  client:
    memory: 1G
    nets: [{ network: lan, ip: 10.0.0.2/24, loss: 2% }]
  idle:
networks:
  lan: { tap: tsvmm0, delay_ms: 5, seed: 3 }
`;

/** Problems as "line:column message". */
function problemsOf(text: string, file = '/nowhere/c.yaml'): string[] {
  try {
    parseCluster(file, text);
  } catch (error) {
    assert.instance(error, TsvmmError);
    const { code, details = {} } = error as TsvmmError;
    assert.is(code, 'TSVMM_E_CONFIG');
    return (details.problems as Problem[]).map(({ line, column, message }) => `${line}:${column} ${message}`);
  }
  return [];
}

function assertProblems(text: string, expected: readonly RegExp[], file?: string): void {
  const problems = problemsOf(text, file);
  assert.is(problems.length, expected.length, problems.join('\n'));
  for (const [index, pattern] of expected.entries()) assert.match(problems[index] as string, pattern);
}

test('fills in defaults', () => {
  const { name, vms, networks } = parseCluster('/nowhere/c.yaml', pair);
  assert.is(name, 'pair');
  assert.equal(networks, [{ name: 'lan', mtu: 1500, tap: { name: 'tsvmm0', offloads: true } }]);
  assert.equal(
    vms.map(({ name, memory_bytes, vcpus, guest }) => ({ name, memory_bytes, vcpus, guest })),
    [
      {
        name: 'server',
        memory_bytes: 2 ** 27,
        vcpus: 2,
        guest: { kind: 'image', image: 'bench', packages: [], args: ['tcp-server', 'port=7'] },
      },
      {
        name: 'client',
        memory_bytes: 2 ** 30,
        vcpus: 2,
        guest: { kind: 'image', image: 'bench', packages: [], args: [] },
      },
      {
        name: 'idle',
        memory_bytes: 2 ** 27,
        vcpus: 2,
        guest: { kind: 'image', image: 'bench', packages: [], args: [] },
      },
    ],
  );
  assert.equal(vms[0]?.disks, [{ size_bytes: 64 * 2 ** 20, readonly: false }]);
});

test("a NIC's impairment adds to its network's, with a seed of its own", () => {
  const { vms } = parseCluster('/nowhere/c.yaml', pair);
  const [server, client] = vms.map(vm => vm.nets[0]?.impairment);
  assert.is(server?.delay_ms, 5);
  assert.is(server?.loss, 0);
  assert.is(client?.delay_ms, 5);
  assert.is(client?.loss, 0.02);
  assert.is.not(server?.seed, client?.seed);
});

test('resolving what asClusterFile prints changes nothing', () => {
  const once = parseCluster('/nowhere/c.yaml', pair);
  const text = stringify(asClusterFile(once));
  assert.equal(parseCluster('/nowhere/c.yaml', text), once);
});

test('the name is the given one, else the file says it, else it is called like the file', () => {
  assert.is(parseCluster('/x/ring.yaml', 'vms: { a: }').name, 'ring');
  assert.is(parseCluster('/x/ring.yaml', 'name: b\nvms: { a: }').name, 'b');
  assert.is(parseCluster('/x/ring.yaml', 'name: b\nvms: { a: }', { name: 'c' }).name, 'c');
  assertProblems('vms: { a: }', [/1:1 "Not a name" cannot be the cluster's name/], '/x/Not a name.yaml');
});

test("addresses of NICs depend on the cluster's name, and a given one is kept", () => {
  const text =
    'vms: { a: { nets: [{ network: n }, { network: n, mac: 02:00:00:00:00:09 }] } }\nnetworks: { n: }';
  const macs = (name: string) =>
    parseCluster('/x/f.yaml', text, { name }).vms[0]?.nets.map(nic => nic.mac) ?? [];
  assert.equal(macs('one'), macs('one'));
  assert.is.not(macs('one')[0], macs('two')[0]);
  assert.is(macs('one')[1], '02:00:00:00:00:09');
});

test('an unknown key is reported where it stands, with a suggestion', () => {
  assertProblems('vms:\n  a:\n    memroy: 64MiB\n', [/^3:5 unknown key "memroy"; did you mean "memory"\?/]);
  assertProblems('vms: { a: }\nfoo: 1\n', [
    /^2:1 unknown key "foo"; known are name, defaults, vms, networks/,
  ]);
});

test('all problems are listed at once, in the order of the file', () => {
  assertProblems('name: A\nvms:\n  a: { vcpus: 0, memory: 3MiB }\n  b: { memory: 7, vcpus: 1.5 }\n', [
    /^1:7 a name has/,
    /^3:15 expected a number from 1 to 64/,
    /^3:26 3MiB is less than the least/,
    /^4:16 expected a size with its unit .* 7MiB\?/,
    /^4:26 expected a whole number/,
  ]);
});

test('values outside of their bounds are refused', () => {
  assertProblems('vms: { a: { memory: 9MiB } }', [/must be a multiple of 2MiB/]);
  assertProblems('vms: { a: { memory: 2T } }', [/more than the most/]);
  assertProblems('vms: { a: { vcpus: 65 } }', [/from 1 to 64/]);
  const packages = (length: number) => `[${`${'p'.repeat(59)}, `.repeat(3)}${'q'.repeat(length)}]`;
  assertProblems(`vms: { a: { image: debian, packages: ${packages(60)} } }`, []);
  assertProblems(`vms: { a: { image: debian, packages: ${packages(61)} } }`, [/more than 240 characters/]);
  assertProblems('vms: { a: { disks: [{ size: 100K }, { size: 1K }] } }', [/1K is less than/]);
  assertProblems(`vms: { ${'a'.repeat(41)}: }`, [/a name has 1 to 40/]);
  assertProblems('vms: {}', [/at least one virtual machine/]);
  assertProblems(`vms: { a: { nets: [${'{ network: n },'.repeat(9)}] } }`, [/at most 8 NICs/]);
  assertProblems('vms: { a: }\nnetworks: { n: { loss: 2, delay_ms: -1 } }', [
    /share of the frames/,
    /from 0 to/,
  ]);
});

test('clashes and dangling references are reported', () => {
  assertProblems(
    `vms:
  a: { nets: [{ network: lan, ip: 10.0.0.1/24, mac: 02:00:00:00:00:01 }, { network: wlan }] }
  b: { nets: [{ network: lan, ip: 10.0.0.1/24, mac: 02:00:00:00:00:01 }] }
networks: { lan: { tap: t }, wan: { tap: t } }`,
    [
      /^2:85 there is no network "wlan"; did you mean "lan"/,
      /^3:35 10\.0\.0\.1 in network lan is taken by a/,
      /^3:53 the address 02:00:00:00:00:01 is taken by a/,
      /^4:42 t is the tap of network lan already/,
    ],
  );
});

test('a network: MTU, tap and impairment are resolved, and a NIC says otherwise key by key', () => {
  const text = `
vms:
  a: { nets: [{ network: lan }, { network: wan }] }
  b: { nets: [{ network: lan, loss: 0, seed: 9 }] }
networks:
  lan: { mtu: 9000, tap: { name: t0, address: 10.0.0.254/24, offloads: false }, delay_ms: 2, loss: 1%, reorder: true }
  wan: { tap: t1 }`;
  const { vms, networks } = parseCluster('/nowhere/c.yaml', text);
  const address = { address: '10.0.0.254', prefix: 24 };
  assert.equal(networks, [
    { name: 'lan', mtu: 9000, tap: { name: 't0', address, offloads: false } },
    { name: 'wan', mtu: 1500, tap: { name: 't1', offloads: true } },
  ]);
  const [a, b] = vms.map(({ nets }) => nets.map(({ impairment }) => impairment));
  const perfect = { jitter_ms: 0, rate_mbit: 0 };
  assert.is(a?.[1], undefined);
  assert.equal({ ...a?.[0], seed: 0 }, { ...perfect, delay_ms: 2, loss: 0.01, reorder: true, seed: 0 });
  assert.equal(b?.[0], { ...perfect, delay_ms: 2, loss: 0, reorder: true, seed: 9 });
});

test('a network: what is wrong with it is reported where it stands', () => {
  assertProblems('vms: { a: }\nnetworks: { n: { mtu: 67 }, m: { mtu: 70000 }, o: { mtu: 1500.5 } }', [
    /^2:23 expected a number from 68 to 65535/,
    /from 68 to 65535/,
    /whole number/,
  ]);
  assertProblems('vms: { a: }\nnetworks: { n: { tap: { name: t, adress: 1.2.3.4/8 } } }', [
    /^2:34 unknown key "adress"; did you mean "address"/,
  ]);
  assertProblems('vms: { a: }\nnetworks: { n: { tap: { address: 10.0.0.0/24 } }, m: { tap: 7 } }', [
    /^2:23 the key "name" is missing/,
    /^2:34 this is the address of the network itself/,
    /^2:61 expected the name of a network interface/,
  ]);
  assertProblems('vms: { a: }\nnetworks: { n: { tap: t, mtu: 65535 } }', [/^2:31 .* MTU of 65521 at most/]);
  assertProblems(
    `vms: { a: { nets: [{ network: n, ip: 10.0.0.1/24 }] } }
networks: { n: { tap: { name: t, address: 10.0.0.1/24 } } }`,
    [/^1:38 10\.0\.0\.1 in network n is taken by the host/],
  );
});

test('an address may occur again in another network', () => {
  const nic = (network: string) => `{ nets: [{ network: ${network}, ip: 10.0.0.1/24 }] }`;
  assert.equal(problemsOf(`vms: { a: ${nic('n')}, b: ${nic('m')} }\nnetworks: { n: , m: }`), []);
});

test('duplicate keys, syntax errors and reserved names have a place', () => {
  assertProblems('vms: { a: , a: }', [/^1:13 Map keys must be unique/]);
  assertProblems('vms: [', [/^1:7 /]);
  assertProblems('vms: { constructor: }', [/^1:8 the name "constructor" is reserved/]);
  assertProblems('', [/^1:1 expected the keys name, defaults, vms and networks/]);
  assertProblems('[]', [/^1:1 the key "vms" is missing/]);
});

test('what an alias or a merge brings in is reported where it was written', () => {
  assertProblems('vms:\n  a: &a { vcpus: 99 }\n  b: *a\n', [/^2:18 /]);
  assertProblems('vms:\n  a: &a { vcpus: 1, foo: 2 }\n  b: { <<: *a }\n', [/^2:21 unknown key "foo"/]);
});

test('an alias bomb is refused', () => {
  const lines = ['a: &l0 [x]', ...[1, 2, 3, 4, 5].map(n => `b${n}: &l${n} [${`*l${n - 1},`.repeat(20)}]`)];
  assertProblems(lines.join('\n'), [/cannot be expanded: Excessive alias count/]);
});

test('a kernel of the user takes its paths relative to the file', ({ directory }) => {
  const { vms } = parseCluster(
    join(directory, 'c.yaml'),
    'vms: { a: { kernel: ./vmlinux, cmdline: quiet, disks: [{ base: base.raw }] } }',
  );
  assert.equal(vms[0]?.guest, { kind: 'kernel', kernel: join(directory, 'vmlinux'), cmdline: 'quiet' });
  assert.equal(vms[0]?.disks, [{ size_bytes: 5120, base: join(directory, 'base.raw'), readonly: false }]);
});

test('what guests that go on from a snapshot have booted from need not be there', ({ directory }) => {
  const file = join(directory, 'c.yaml');
  const text = `vms:
  a: { kernel: gone, initrd: gone too, disks: [{ base: base.raw, size: 4K }, { base: gone.raw, size: 8K }] }
`;
  const { vms } = parseCluster(file, text, { restored: true });
  const [kernel, initrd] = ['gone', 'gone too'].map(name => join(directory, name));
  assert.equal(vms[0]?.guest, { kind: 'kernel', kernel, initrd, cmdline: 'console=ttyS0' });
  assert.equal(
    vms[0]?.disks.map(({ size_bytes }) => size_bytes),
    [4096, 8192],
  );
});

test('files that are not there, and keys that do not go together, are reported', ({ directory }) => {
  assertProblems(
    `vms:
  a: { kernel: nope, image: bench }
  b: { kernel: ., initrd: gone }
  c: { cmdline: x, disks: [{}, { base: base.raw, size: 4K }] }
  d: { image: bnch }
`,
    [
      /^2:8 either "image" or "kernel"/,
      /^2:16 there is no file .*nope/,
      /^3:16 .* is a directory/,
      /^3:27 there is no file .*gone/,
      /^4:8 "cmdline" goes with "kernel"/,
      /^4:28 a disk needs a "size" or a "base"/,
      /^4:56 the disk is smaller than its base of 5KiB/,
      /^5:15 there is no image "bnch"; did you mean "bench"/,
    ],
    join(directory, 'c.yaml'),
  );
});

test('the message shows the line with a mark', () => {
  assert.throws(
    () => parseCluster('c.yaml', 'vms:\n  a: { vcpus: 0 }\n'),
    (error: Error) =>
      error.message ===
      [
        'c.yaml:2:15: expected a number from 1 to 64',
        '   2 |   a: { vcpus: 0 }',
        `     | ${' '.repeat(14)}^`,
      ].join('\n'),
  );
});

test('loadCluster: a file that is missing, a directory, too large or not text has an error of its own', ({
  directory,
}) => {
  const codeOf = (file: string) => {
    try {
      loadCluster(file);
      return 'none';
    } catch (error) {
      return (error as TsvmmError).code;
    }
  };
  writeFileSync(join(directory, 'large.yaml'), `#${' '.repeat(2 ** 20)}\nvms: { a: }`);
  writeFileSync(join(directory, 'binary.yaml'), Buffer.from([0xff, 0xfe, 0x80]));
  assert.is(codeOf(join(directory, 'missing.yaml')), 'TSVMM_E_NOT_FOUND');
  assert.is(codeOf(directory), 'TSVMM_E_CONFIG');
  assert.is(codeOf(join(directory, 'large.yaml')), 'TSVMM_E_CONFIG');
  assert.is(codeOf(join(directory, 'binary.yaml')), 'TSVMM_E_CONFIG');
});

test.run();
