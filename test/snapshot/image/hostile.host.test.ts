/** Snapshots that were damaged or made to do harm: all are refused, before a byte of them is used. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MANIFEST_FILE } from '../../../snapshot/image/manifest.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { withGuest } from '../../support/guest.ts';
import { Random } from '../../support/random.ts';
import { SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';
import { Forgery } from './forgery.ts';

const FLIPS_PER_FILE = 8;
const MEMORY = 'vms/vm/memory.img';
const STATE = 'vms/vm/state.json';
const files = [
  MANIFEST_FILE,
  'channel.bin',
  'timeline.json',
  STATE,
  'vms/vm/memory.json',
  'vms/vm/memory.map',
  MEMORY,
];

const test = suite('a hostile snapshot');
const rig = new SnapshotRig();
let original = '';
test.before(async () => {
  if (lacksKvm() !== undefined) return;
  await withGuest({ cmdline: 'idle', memory_bytes: 16 * MIB }, async ({ machine }) => {
    original = (await rig.take(machine)).folder;
  });
});
test.after(() => rig.stop());

let count = 0;
async function judged(spoil: (forgery: Forgery) => void) {
  const forgery = new Forgery(original, join(rig.folder, `forged${count++}`));
  try {
    spoil(forgery);
    return await forgery.judge();
  } finally {
    forgery.discard();
  }
}

testUnless(lacksKvm(), test, 'is not what the tests begin with', async () => {
  assert.equal(await judged(() => {}), { loaded: 'ok', verified: true });
  assert.equal(await judged(forgery => forgery.editManifest(() => {})), { loaded: 'ok', verified: true });
});

for (const file of files) {
  testUnless(lacksKvm(), test, `with a flipped bit anywhere in ${file} is found damaged`, async () => {
    const random = new Random(1);
    for (let i = 0; i < FLIPS_PER_FILE; i++) {
      const verdict = await judged(forgery => {
        const content = forgery.read(file);
        const at = random.below(content.length);
        content[at] = (content[at] as number) ^ (1 << random.below(8));
        forgery.replace(file, content);
      });
      // White space of the manifest may change to other white space, and back.
      if (file !== MANIFEST_FILE || verdict.loaded !== 'ok') assert.not(verdict.verified, `flip ${i}`);
      assert.ok(['ok', 'TSVMM_E_SNAPSHOT_CORRUPT'].includes(verdict.loaded), verdict.loaded);
    }
  });

  testUnless(lacksKvm(), test, `with ${file} cut short, made longer, or missing is refused`, async () => {
    const spoilers: ((forgery: Forgery) => void)[] = [
      // A manifest may do without its last byte, a line feed.
      forgery => forgery.replace(file, forgery.read(file).subarray(0, -2)),
      forgery => forgery.replace(file, ''),
      forgery => forgery.replace(file, Buffer.concat([forgery.read(file), Buffer.from('x')])),
      forgery => rmSync(forgery.path(file)),
      forgery => {
        rmSync(forgery.path(file));
        mkdirSync(forgery.path(file));
      },
    ];
    for (const [i, spoil] of spoilers.entries()) {
      const { verified, loaded } = await judged(spoil);
      assert.not(verified, `spoiler ${i}`);
      assert.is.not(loaded, 'uncoded');
    }
  });
}

/** Values in the manifest, under a right checksum. */
const manifests: Record<string, [path: string, value: unknown]> = {
  'another format': ['format', 'other'],
  'a newer version': ['version', 3],
  'an older version': ['version', 1],
  'an unknown field': ['surprise', 1],
  'a path out of the folder': ['vms.0.state.path', '../../../etc/passwd'],
  'an absolute path': ['vms.0.memory.path', '/dev/zero'],
  'a path with a NUL': ['vms.0.memory.path', 'vms\0/memory.img'],
  'a VM whose name is a path': ['vms.0.name', '../vm'],
  'two sizes of memory': ['vms.0.memory_bytes', 14 * MIB],
  'chunks of one byte': ['vms.0.memory.chunk_bytes', 1],
  'chunks of no power of two': ['vms.0.memory.chunk_bytes', 12288],
  'chunks larger than any memory': ['vms.0.memory.chunk_bytes', 2 ** 40],
  'no vCPU': ['vms.0.vcpus', 0],
  'a million vCPUs': ['vms.0.vcpus', 1e6],
  'a file beyond all bounds': ['vms.0.state.bytes', 2 ** 50],
};

/** Values in the checksums of the memory and in the state, under right checksums; undefined removes one. */
const parts: Record<string, [reference: 'state' | 'memory.checksums', path: string, value: unknown]> = {
  'too few checksums': ['memory.checksums', 'chunks', []],
  'a checksum that is none': ['memory.checksums', 'chunks.0', -1],
  'a working set of no numbers': ['memory.checksums', 'working_set', ['0']],
  'state of a newer version': ['state', 'version', 2],
  'state with an unknown field': ['state', 'surprise', 1],
  'state without a register': ['state', 'vcpus.0.regs.rip', undefined],
  'a register out of range': ['state', 'vcpus.0.regs.rip', '0x10000000000000000'],
  'a register that is a number': ['state', 'vcpus.0.regs.rip', 1],
  'an MSR that cannot be': ['state', 'vcpus.0.msrs.0x100000000', '0x0'],
  'bytes of another length': ['state', 'vcpus.0.lapic.regs', 'AAAA'],
  'a thousand vCPUs in the state': ['state', 'vcpus', Array(1000).fill({})],
  'words that are none': ['state', 'devices.0.words.0', 2 ** 40],
};

/** Whatever else one can do to a folder. */
const spoilt: Record<string, (forgery: Forgery) => void> = {
  'two VMs of one name': f => f.editManifest(({ vms }) => vms.push(vms[0])),
  'no checksum of the manifest': f => f.replace(MANIFEST_FILE, '{}'),
  'a manifest that is a list': f => f.replace(MANIFEST_FILE, '[]'),
  'a manifest nested deeply': f =>
    f.replace(MANIFEST_FILE, `{"crc32":1,"configuration":${'['.repeat(1e5)}${']'.repeat(1e5)}}`),
  'a manifest of many gigabytes': f => {
    f.replace(MANIFEST_FILE, '{}');
    truncateSync(f.path(MANIFEST_FILE), 8 * 2 ** 30);
  },
  'more memory than the file has': f => {
    for (const size of ['memory_bytes', 'memory.bytes', 'memory.file_bytes'])
      f.setInManifest(`vms.0.${size}`, 18 * MIB);
  },
  'memory beyond all addresses': f => {
    f.setInManifest('vms.0.memory_bytes', 2 ** 52);
    f.setInManifest('vms.0.memory.bytes', 2 ** 52);
  },
  'a link in place of the memory': f => {
    rmSync(f.path(MEMORY));
    symlinkSync('/dev/zero', f.path(MEMORY));
  },
  'a link in place of a folder': f => {
    renameSync(f.path('vms/vm'), f.path('vms/other'));
    symlinkSync('other', f.path('vms/vm'));
  },
  'a pipe in place of the state': f => {
    rmSync(f.path(STATE));
    execFileSync('mkfifo', [f.path(STATE)]);
  },
};

const refused = [
  ...Object.entries(manifests).map(
    ([name, [path, value]]) => [name, (f: Forgery) => f.setInManifest(path, value)] as const,
  ),
  ...Object.entries(parts).map(
    ([name, [reference, path, value]]) =>
      [name, (f: Forgery) => f.setInPart(reference, path, value)] as const,
  ),
  ...Object.entries(spoilt),
];
for (const [name, spoil] of refused) {
  testUnless(lacksKvm(), test, `with ${name} is refused`, async () => {
    assert.equal(await judged(spoil), { loaded: 'TSVMM_E_SNAPSHOT_CORRUPT', verified: false });
  });
}

test.run();
