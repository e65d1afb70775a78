import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { TsvmmError } from '../../../vmm/errors.ts';
import type { Vcpu } from '../../../vmm/kvm/vcpu.ts';
import { VcpuState } from '../../../vmm/vcpu/control-block.ts';
import { VcpuHandle } from '../../../vmm/vcpu/vcpu-handle.ts';
import type { VcpuSetup } from '../../../vmm/vcpu/vcpu-thread.ts';

/** Nothing that a thread could run. */
const nothing = { descriptor: {} } as Vcpu;

test('a thread that cannot take its vCPU is ready too, and says why as soon as somebody listens', async () => {
  const thread = new VcpuHandle();
  thread.assign(nothing, {} as VcpuSetup);
  await thread.ready();
  const told = new Promise<TsvmmError>(resolve => thread.on('error', resolve));
  thread.listen();
  assert.match((await told).message, /undefined/);
  await thread.end();
});

test('a thread without a vCPU waits for one, and ends when it is asked to', async () => {
  const thread = new VcpuHandle();
  await thread.started();
  assert.is(thread.control.state, VcpuState.LOADED);
  await thread.end();
  assert.is(thread.control.state, VcpuState.ENDED);
});

test('a thread can be ended while it prepares', async () => {
  const thread = new VcpuHandle();
  await thread.started();
  thread.assign(nothing, {} as VcpuSetup);
  await thread.end();
  assert.is(thread.control.state, VcpuState.ENDED);
});

test.run();
