import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CopyPools } from '../../../snapshot/cow/copy-pool.ts';
import { mprotectMechanism } from '../../../snapshot/cow/mprotect.ts';
import { kvmRun } from '../../../vmm/kvm/layouts.ts';
import type { Vcpu } from '../../../vmm/kvm/vcpu.ts';
import { gpa, MIB, PAGE_SIZE } from '../../../vmm/memory/address.ts';
import { CopyOnWrite } from '../../../vmm/memory/copy-on-write.ts';
import { GuestMemory } from '../../../vmm/memory/guest-memory.ts';
import { allocateRam } from '../../../vmm/memory/ram.ts';
import { FaultResolver } from '../../../vmm/vcpu/fault-resolver.ts';
import { assemble } from '../arch/x86_64/decode/assemble.ts';
import { CPU_VECTOR_LAYOUT, vectorArea } from '../arch/x86_64/decode/vector-area.ts';

const test = suite('FaultResolver');

const RAM_BYTES = 4 * MIB;
const CODE = 0x10_0000;
const DATA = 0x20_0000;
const XSAVE_BYTES = 0x1000;

/** A vCPU in flat 32-bit mode that fails at `assembly` with edi = DATA; answers the pages that are saved for that. */
function savedPages(assembly: string): { pages: number[]; fallbacks: number; xsaveReads: number } {
  const ram = allocateRam(RAM_BYTES);
  const pools = new CopyPools();
  try {
    const memory = new GuestMemory(ram);
    const cow = new CopyOnWrite(ram.cow, ram.address, ram.length);
    const [code = new Uint8Array()] = assemble([assembly], 32);
    for (const [i, byte] of code.entries()) memory.writeU8(gpa(CODE + i), byte);

    const bytes = new Uint8Array(kvmRun.size);
    const run = kvmRun.at(bytes.buffer, 0);
    Object.assign(run['s.regs.regs'], {
      rip: BigInt(CODE),
      rdi: BigInt(DATA),
      rax: -1n,
      rdx: -1n,
      rflags: 2n,
    });
    const { cs, ss } = run['s.regs.sregs'];
    run['s.regs.sregs'].cr0 = 1n;
    Object.assign(cs, { db: 1 });
    Object.assign(ss, { db: 1 });
    let xsaveReads = 0;
    const vcpu = {
      shared: new DataView(bytes.buffer),
      getInto: (name: string, into: Uint8Array) => {
        assert.is(name, 'xsave');
        xsaveReads++;
        into.set(new Uint8Array(vectorArea.buffer));
      },
    };

    const { address: poolAddress, ...pool } = pools.take(RAM_BYTES, PAGE_SIZE);
    const mechanism = mprotectMechanism({ ram, cow });
    mechanism.arm({ ...pool, poolAddress });
    const resolver = new FaultResolver(vcpu as unknown as Vcpu, memory, ram, {
      ...CPU_VECTOR_LAYOUT,
      bytes: XSAVE_BYTES,
    });
    assert.is(resolver.resolve(), true);
    mechanism.disarm();
    const chunks = Array.from({ length: RAM_BYTES / PAGE_SIZE }, (_, page) => page);
    return {
      pages: chunks.filter(page => cow.state.isReleased(page)).map(page => page * PAGE_SIZE),
      fallbacks: cow.state.counters.fallbacks,
      xsaveReads,
    };
  } finally {
    pools.close();
    ram.free();
  }
}

test('the elements of a scatter are found in the vector registers', () => {
  const { pages, fallbacks, xsaveReads } = savedPages('vpscatterdd %zmm1, (%edi,%zmm4,8){%k1}');
  assert.equal(pages, [DATA, DATA + PAGE_SIZE]);
  assert.is(fallbacks, 0);
  assert.is(xsaveReads, 1);
});

test('an xsave writes as much as this processor has', () => {
  const { pages, fallbacks, xsaveReads } = savedPages('xsave (%edi)');
  assert.equal(pages, [DATA]);
  assert.is(fallbacks, 0);
  assert.is(xsaveReads, 0);
});

test('other instructions do not read the vector registers', () => {
  const { pages, xsaveReads } = savedPages('movl %eax, 8(%edi)');
  assert.equal(pages, [DATA]);
  assert.is(xsaveReads, 0);
});

test.run();
