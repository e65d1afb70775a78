import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VcpuControlBlock, VcpuRequest } from '../../../vmm/vcpu/control-block.ts';
import { RoomBudget } from '../../../vmm/vcpu/room-budget.ts';

const BUDGET_MS = 200;
const test = suite('RoomBudget');

function bench(request: VcpuRequest) {
  const control = new VcpuControlBlock(VcpuControlBlock.allocate());
  control.request = request;
  const output = { free: 0 };
  const room = new RoomBudget(control, output);
  const spend_ms = () => {
    const begin = performance.now();
    room.spend();
    return performance.now() - begin;
  };
  return { output, room, spend_ms };
}

test('all bytes of an exit share one budget; the next exit has its own', () => {
  const { room, spend_ms } = bench(VcpuRequest.RUN);
  assert.ok(spend_ms() >= BUDGET_MS * 0.9);
  let rest_ms = 0;
  for (let byte = 0; byte < 170; byte++) rest_ms += spend_ms();
  assert.ok(rest_ms < BUDGET_MS / 2, `${rest_ms} ms`);
  room.renew();
  assert.ok(spend_ms() >= BUDGET_MS * 0.9);
});

test('nobody waits while a snapshot is asked for, nor where there is room', () => {
  const { spend_ms } = bench(VcpuRequest.SNAPSHOT);
  assert.ok(spend_ms() < BUDGET_MS / 2);
  const { output, spend_ms: spendRunning_ms } = bench(VcpuRequest.RUN);
  output.free = 1;
  assert.ok(spendRunning_ms() < BUDGET_MS / 2);
});

test.run();
