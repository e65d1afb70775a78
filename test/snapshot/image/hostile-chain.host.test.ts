/** Incremental and compressed snapshots that were damaged or made to do harm, or whose parents were: all are refused. */
import { truncateSync } from 'node:fs';
import { basename, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { childrenOf } from '../../../snapshot/image/children.ts';
import { codecOf } from '../../../snapshot/image/compression.ts';
import { FrameTable } from '../../../snapshot/image/frame-table.ts';
import { identityOf } from '../../../snapshot/image/identity.ts';
import { MAXIMUM_CHAIN } from '../../../snapshot/image/manifest.ts';
import { PageMap, PageState } from '../../../snapshot/image/page-map.ts';
import { SnapshotReader } from '../../../snapshot/image/reader.ts';
import { HUGE_PAGE_SIZE, MIB, PAGE_SIZE } from '../../../vmm/memory/address.ts';
import { allocateNative, bytesAt } from '../../../vmm/memory/native.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { withGuest } from '../../support/guest.ts';
import { Random } from '../../support/random.ts';
import { SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';
import { Forgery } from './forgery.ts';

const RAM_BYTES = 16 * MIB;
const FLIPS = 12;
const MEMORY = 'vms/vm/memory.img';
const STATE_BYTES = PageMap.size(RAM_BYTES / PAGE_SIZE);

const test = suite('a hostile chain of snapshots');
const rig = new SnapshotRig();
let parent = '';
let child = '';
test.before(async () => {
  if (lacksKvm() !== undefined) return;
  await withGuest({ cmdline: 'dirty size=2M stat=50', memory_bytes: RAM_BYTES }, async guest => {
    const first = await rig.take(guest.machine);
    await guest.until('stat', 3);
    const second = await rig.take(guest.machine, { cow: 'mprotect', compression: 'zstd', parent: first });
    [parent, child] = [first.folder, second.folder];
  });
});
test.after(() => rig.stop());

let count = 0;
const forge = (original: string) => new Forgery(original, join(rig.folder, `forged${count++}`));

async function judged(original: string, spoil: (forgery: Forgery) => void) {
  const forgery = forge(original);
  try {
    spoil(forgery);
    return await forgery.judge();
  } finally {
    forgery.discard();
  }
}

const refusal = { loaded: 'TSVMM_E_SNAPSHOT_CORRUPT', verified: false };

testUnless(lacksKvm(), test, 'is not what the tests begin with', async () => {
  assert.equal(await judged(child, () => {}), { loaded: 'ok', verified: true });
  const { memory } = new SnapshotReader(child).vm('vm');
  assert.ok(memory.file_bytes > 0 && memory.file_bytes < RAM_BYTES / 8, `${memory.file_bytes}`);
  assert.equal(
    childrenOf(parent, join(rig.folder, '..')).map(({ folder }) => folder),
    [child],
  );
});

testUnless(
  lacksKvm(),
  test,
  'with a flipped bit anywhere in the compressed memory is found damaged',
  async () => {
    const random = new Random(1);
    for (let i = 0; i < FLIPS; i++) {
      const verdict = await judged(child, forgery => {
        const content = forgery.read(MEMORY);
        const at = random.below(content.length);
        content[at] = (content[at] as number) ^ (1 << random.below(8));
        forgery.replace(MEMORY, content);
      });
      assert.equal(verdict, refusal, `flip ${i}`);
    }
  },
);

testUnless(
  lacksKvm(),
  test,
  'whose parent is damaged where the child needs it is found damaged',
  async () => {
    const inherited = new PageMap(new Forgery(child, join(rig.folder, 'look')).read('vms/vm/memory.map'));
    const own = new PageMap(new Forgery(parent, join(rig.folder, 'look2')).read('vms/vm/memory.map'));
    const needed = Array.from({ length: RAM_BYTES / PAGE_SIZE }, (_, page) => page).find(
      page => inherited.get(page) === PageState.INHERITED && own.get(page) === PageState.DATA,
    );
    const spoilt = forge(parent);
    const content = spoilt.read(MEMORY);
    const at = (needed as number) * PAGE_SIZE;
    content[at] = (content[at] as number) ^ 1;
    spoilt.replace(MEMORY, content);
    // Under the same checksums, so the identity is right.
    assert.equal(await judged(child, f => f.setInManifest('parent.name', basename(spoilt.folder))), refusal);
    spoilt.discard();
  },
);

/** Values in the child's manifest, under a right checksum. */
const manifests: Record<string, [path: string, value: unknown]> = {
  'no parent, though it needs one': ['parent', null],
  'a parent that is not there': ['parent.name', 'gone'],
  'a parent of a cluster that is not there': ['parent.cluster', 'gone'],
  'a parent out of the folder': ['parent.name', '../s1'],
  'a parent in the folder above': ['parent.cluster', '..'],
  'another snapshot in the place of its parent': ['parent.identity', '0'.repeat(64)],
  'an identity that is none': ['parent.identity', 'x'],
  'an unknown compression': ['vms.0.memory.compression', 'brotli'],
  'compressed memory that is said to be not': ['vms.0.memory.compression', 'none'],
  'compressed memory of another codec': ['vms.0.memory.compression', 'lz4'],
  'a memory file larger than it can be': ['vms.0.memory.file_bytes', 2 ** 40],
  'a memory file of another size': ['vms.0.memory.file_bytes', 4096],
  'a VM that its parent does not have': ['vms.0.name', 'other'],
  'other chunks than its parent has': ['vms.0.memory.chunk_bytes', MIB],
};

/** A table of frames in which that of one chunk that has one is changed. */
const editFrame = (edit: (table: FrameTable, chunk: number) => void) => (f: Forgery) =>
  f.replaceMap(map => {
    const table = new FrameTable(map.subarray(STATE_BYTES));
    const chunk = Array.from({ length: RAM_BYTES / HUGE_PAGE_SIZE }, (_, i) => i).find(
      i => table.length(i) > 0,
    );
    edit(table, chunk as number);
    return map;
  });

const spoilers: Record<string, (forgery: Forgery) => void> = {
  'itself as its parent': f => f.setInManifest('parent.name', basename(f.folder)),
  'memory of another size than its parent': f => {
    for (const size of ['memory_bytes', 'memory.bytes']) f.setInManifest(`vms.0.${size}`, 2 * RAM_BYTES);
  },
  'a map that is too short': f => f.replaceMap(map => map.subarray(1)),
  'a map that is too long': f => f.replaceMap(map => Buffer.concat([map, map])),
  'an empty map': f => f.replaceMap(() => new Uint8Array(0)),
  'a page in a state that is none': f =>
    f.replaceMap(map => {
      map[7] = 0xff;
      return map;
    }),
  'all pages inherited, though some have changed': f => f.replaceMap(map => map.fill(0)),
  'a frame behind the end of the file': editFrame((table, chunk) =>
    table.set(chunk, 2 ** 40, table.length(chunk)),
  ),
  'a frame behind the end of all files': editFrame((table, chunk) => {
    table.bytes.fill(0xff, chunk * 16, chunk * 16 + 8);
  }),
  'a frame longer than its content': editFrame((table, chunk) => table.set(chunk, 0, HUGE_PAGE_SIZE)),
  'a frame of a length that is none': editFrame((table, chunk) => {
    table.bytes.fill(0xff, chunk * 16 + 8, chunk * 16 + 16);
  }),
  'an empty frame for pages that have content': editFrame((table, chunk) => table.set(chunk, 0, 0)),
  'the frame of another place': editFrame((table, chunk) => table.set(chunk, 1, table.length(chunk) - 1)),
  'a memory file that was cut off': f => {
    const length = f.read(MEMORY).length;
    f.replace(MEMORY, f.read(MEMORY));
    truncateSync(f.path(MEMORY), length - 1);
  },
  'a frame that decompresses to far more than its pages': f => {
    const bomb = zeros(256 * MIB);
    f.replace(MEMORY, bomb);
    f.setInManifest('vms.0.memory.file_bytes', bomb.length);
    f.replaceMap(map => {
      const table = new FrameTable(map.subarray(STATE_BYTES));
      for (let chunk = 0; chunk < RAM_BYTES / HUGE_PAGE_SIZE; chunk++)
        if (table.length(chunk) > 0) table.set(chunk, 0, bomb.length);
      return map;
    });
  },
};

/** So many zeros, compressed. */
function zeros(length: number): Uint8Array {
  const [content, packed] = [allocateNative(length), allocateNative(MIB)];
  try {
    const bytes = codecOf('zstd').compress(packed.address, MIB, content.address, length);
    assert.ok(bytes > 0 && bytes < 64 * 1024, `${bytes}`);
    return Uint8Array.from(bytesAt(packed.address, bytes));
  } finally {
    content.free();
    packed.free();
  }
}

const refused = [
  ...Object.entries(manifests).map(
    ([name, [path, value]]) => [name, (f: Forgery) => f.setInManifest(path, value)] as const,
  ),
  ...Object.entries(spoilers),
];
for (const [name, spoil] of refused) {
  testUnless(lacksKvm(), test, `with ${name} is refused`, async () => {
    assert.equal(await judged(child, spoil), refusal);
  });
}

testUnless(lacksKvm(), test, `of more than ${MAXIMUM_CHAIN} images is refused`, async () => {
  const forgeries: Forgery[] = [];
  let folder = parent;
  for (let i = 1; i <= MAXIMUM_CHAIN; i++) {
    const link = forge(child);
    link.setInManifest('parent.name', basename(folder));
    link.setInManifest('parent.identity', identityOf(new SnapshotReader(folder).manifest));
    forgeries.push(link);
    folder = link.folder;
  }
  const verdicts = await Promise.all(forgeries.slice(-2).map(link => link.judge()));
  for (const forgery of forgeries) forgery.discard();
  assert.equal(verdicts, [{ loaded: 'ok', verified: true }, refusal]);
});

test.run();
