import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { VcpuHandle as Handle } from '../../../vmm/vcpu/vcpu-handle.ts';
import { VcpuHandle } from '../../../vmm/vcpu/vcpu-handle.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { withGuest } from '../../support/guest.ts';
import { testUnless } from '../../support.ts';

const KICKS = 1000;
const LOST_AFTER_MS = 60_000;
const test = suite('kick');

/** Microseconds until the thread has come out of KVM_RUN; throws when it does not. */
function kickAndWait(thread: Handle): number {
  const before = thread.counters.interruptions;
  const started = performance.now();
  thread.kick();
  while (thread.counters.interruptions === before) {
    if (performance.now() - started > LOST_AFTER_MS) throw new Error('the kick is lost');
  }
  return (performance.now() - started) * 1000;
}

/** Between none and some 100 us, so that the kicks meet the thread at any point of its loop. */
function waitAWhile(turn: number): void {
  const until = performance.now() + (turn % 11) / 100;
  while (performance.now() < until);
}

const quantile = (sorted: readonly number[], q: number) =>
  Math.round(sorted[Math.floor((sorted.length - 1) * q)] as number);

const guests = {
  'a spinning guest': 'spin',
  'a halted guest': 'halt',
  'a guest that exits all the time': 'exits samples=10000',
};

for (const [name, cmdline] of Object.entries(guests)) {
  testUnless(lacksKvm(), test, `VcpuHandle.kick() interrupts ${name}: none of ${KICKS} is lost`, async () => {
    const thread = new VcpuHandle();
    await withGuest({ cmdline, threads: [thread] }, () => {
      const latencies = Array.from({ length: KICKS }, (_, turn) => {
        waitAWhile(turn);
        return kickAndWait(thread);
      }).sort((a, b) => a - b);
      console.log(
        `kick of ${name}: median ${quantile(latencies, 0.5)} us, p99 ${quantile(latencies, 0.99)} us`,
      );
      assert.is(latencies.length, KICKS);
    });
  });

  testUnless(
    lacksKvm(),
    test,
    `Machine.pause() stops ${name} every time, resume() lets it go on`,
    async () => {
      const thread = new VcpuHandle();
      await withGuest({ cmdline, threads: [thread] }, async ({ machine }) => {
        const latencies: number[] = [];
        for (let turn = 0; turn < KICKS / 2; turn++) {
          waitAWhile(turn);
          const started = performance.now();
          await machine.pause();
          latencies.push((performance.now() - started) * 1000);
          machine.resume();
        }
        latencies.sort((a, b) => a - b);
        assert.is(machine.state, 'running');
        assert.ok(kickAndWait(thread) > 0, 'the vCPU is in the guest again');
        console.log(
          `pause of ${name}: median ${quantile(latencies, 0.5)} us, p99 ${quantile(latencies, 0.99)} us`,
        );
      });
    },
  );
}

test.run();
