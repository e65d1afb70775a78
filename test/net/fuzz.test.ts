/**
 * Hostile drivers against the switch: nothing crashes, no byte outside of what a driver offered is touched, honest
 * ports neither lose nor get a wrong frame. TSVMM_FUZZ_SECONDS and TSVMM_FUZZ_SEED make it longer and repeatable.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../net/random.ts';
import { MAP, mmap, munmap, PROT } from '../../vmm/ffi/libc.ts';
import { startThread } from '../../vmm/io/thread.ts';
import { type Hva, hva, PAGE_SIZE } from '../../vmm/memory/address.ts';
import type { RamDescriptor } from '../../vmm/memory/ram.ts';
import { Attacker } from './support/attacker.ts';
import type { FakeNic } from './support/fake-nic.ts';
import { FakeSwitch } from './support/fake-switch.ts';
import { HonestFlow } from './support/honest.ts';

const SECONDS = Number(process.env.TSVMM_FUZZ_SECONDS ?? 12);
const SEED = Number(process.env.TSVMM_FUZZ_SEED ?? 20_240_601);
const MAP_FIXED_NOREPLACE = 0x100000;
const CANARY = 0xa5;
const POOL_CHUNKS = 8192;

const test = suite('fuzz');

/** Pages without access on both sides of a guest's RAM: a write beyond it ends the process. */
function fence({ address, length }: RamDescriptor): Hva[] {
  const flags = MAP.PRIVATE | MAP.ANONYMOUS | MAP_FIXED_NOREPLACE;
  return [address - PAGE_SIZE, address + length]
    .filter(page => mmap(page, PAGE_SIZE, PROT.NONE, flags, -1, 0) === page)
    .map(hva);
}

class Arena {
  readonly lan = new FakeSwitch({ poolChunks: POOL_CHUNKS });
  readonly random: Random;
  readonly honest: [FakeNic, FakeNic];
  readonly attackers: Attacker[];
  private readonly flows: [HonestFlow, HonestFlow];
  private readonly fences: Hva[];
  private readonly canaries: { nic: FakeNic; start: number; length: number }[];

  constructor(seed: number) {
    this.random = new Random(seed);
    this.honest = [this.lan.add({ mac: 0x520000000001 }), this.lan.add({ mac: 0x520000000002 })];
    const [first, second] = this.honest;
    this.flows = [new HonestFlow(first, second, this.random), new HonestFlow(second, first, this.random)];
    const victims = this.honest.map(({ mac }) => mac);
    this.attackers = [0.01, 0.5].map(
      (recklessness, i) => new Attacker(0x520000000003 + i, this.random, victims, recklessness),
    );
    for (const { nic } of this.attackers) this.lan.attach(nic);
    const nics = [...this.honest, ...this.attackers.map(({ nic }) => nic)];
    this.fences = nics.flatMap(({ guest }) => fence(guest.ram));
    this.canaries = this.honest.map(nic => this.plantCanary(nic));
  }

  round(): void {
    for (const flow of this.flows) flow.send();
    for (const attacker of this.attackers) {
      attacker.act();
      if (this.random.below(3) === 0) attacker.act();
    }
    if (this.random.below(200) === 0) this.lan.now_us += this.random.below(200_000);
    this.lan.step(4);
    for (const [i, flow] of this.flows.entries()) {
      const frames = (this.honest[1 - i] as FakeNic).receiveAll().map(({ frame }) => frame);
      assert.is(flow.check(frames), undefined);
    }
  }

  /** All that was sent has come, nothing outside of the buffers has changed, no chunk of the pool is lost. */
  finish(): number {
    for (const { nic } of this.attackers) this.lan.detach(nic);
    for (let i = 0; i < 100; i++) {
      this.lan.step(4);
      for (const [index, flow] of this.flows.entries()) {
        const frames = (this.honest[1 - index] as FakeNic).receiveAll().map(({ frame }) => frame);
        assert.is(flow.check(frames), undefined);
      }
    }
    for (const flow of this.flows) assert.is(flow.received, flow.sent);
    for (const nic of this.honest) assert.not(nic.device.needsReset);
    for (const { nic, start, length } of this.canaries) {
      assert.ok(
        nic.guest.bytes(start as never, length).every(byte => byte === CANARY),
        'canary',
      );
    }
    assert.is(this.lan.engine.pool.freeChunks, POOL_CHUNKS);
    return this.flows.reduce((sum, { received }) => sum + received, 0);
  }

  close(): void {
    for (const page of this.fences) munmap(page, PAGE_SIZE);
    for (const { nic } of this.attackers) nic.close();
    this.lan.close();
  }

  /** Fills what the honest driver has not allocated. */
  private plantCanary(nic: FakeNic) {
    const { guest } = nic;
    const length = 1 << 20;
    const start = guest.ram.length - length;
    guest.memory.copyIn(start as never, new Uint8Array(length).fill(CANARY));
    return { nic, start, length };
  }
}

/** What `prepare` starts beside an arena ends by what it answers. */
async function fuzz(seconds: number, prepare: (arena: Arena) => Promise<() => Promise<void>>): Promise<void> {
  let left_ms = seconds * 1000;
  for (let seed = SEED; left_ms > 0; seed++) {
    const arena = new Arena(seed);
    const end = await prepare(arena);
    const started = performance.now();
    const deadline = started + left_ms;
    try {
      for (let round = 0; round < 3000 && performance.now() < deadline; round++) arena.round();
      await end();
      assert.ok(arena.finish() > 0);
    } catch (error) {
      console.log(`failed with TSVMM_FUZZ_SEED=${seed}`);
      throw error;
    } finally {
      left_ms -= performance.now() - started;
      await end();
      arena.close();
    }
  }
}

test('Engine: hostile drivers neither crash it nor disturb honest ports', () =>
  fuzz(SECONDS / 2, async () => async () => {}));

test('Engine: nor do drivers that change their queues while they are read', () =>
  fuzz(SECONDS / 2, async arena => {
    const scribblers = arena.attackers.map(startScribbler);
    await Promise.all(scribblers.map(({ started }) => started));
    return async () => void (await Promise.all(scribblers.map(({ end }) => end())));
  }));

function startScribbler({ nic, queueArea }: Attacker) {
  const { address, length, cow } = nic.guest.ram;
  const stop = new Int32Array(new SharedArrayBuffer(8));
  const worker = startThread(import.meta.url, './support/scribbler-thread', {
    workerData: { ram: { address, length, cow }, stop, seed: SEED, range: queueArea },
  });
  const ended = new Promise<void>((resolve, reject) =>
    worker.on('exit', () => resolve()).on('error', reject),
  );
  const wait = Atomics.waitAsync(stop, 1, 0);
  const end = () => {
    Atomics.store(stop, 0, 1);
    return ended;
  };
  return { started: Promise.race([wait.value, ended]), end };
}

test.run();
