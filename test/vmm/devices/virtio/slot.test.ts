import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { REGISTER_BLOCK_SIZE } from '../../../../vmm/devices/virtio/mmio.ts';
import { slotCmdline, slotPlace } from '../../../../vmm/devices/virtio/slot.ts';
import { TsvmmError } from '../../../../vmm/errors.ts';
import { HOLE_END, HOLE_START } from '../../../../vmm/memory/layout.ts';

test('slotPlace(): register blocks in the hole, each with a pin of its own that no other device has', () => {
  const places: { base: number; irq: number }[] = [];
  assert.throws(
    () => {
      for (let index = 0; ; index++) places.push(slotPlace(index));
    },
    (error: unknown) => error instanceof TsvmmError && error.code === 'TSVMM_E_CONFIG',
  );
  assert.is(places.length, 19);
  assert.is(new Set(places.map(({ irq }) => irq)).size, places.length);
  assert.ok(places.every(({ irq }) => irq < 24 && ![0, 2, 4, 8, 13].includes(irq)));
  for (const [i, { base }] of places.entries()) {
    assert.ok(base >= HOLE_START && base + REGISTER_BLOCK_SIZE <= HOLE_END);
    assert.is(base, (places[0]?.base ?? 0) + i * REGISTER_BLOCK_SIZE);
  }
});

test('slotCmdline(): the word that Linux and the bench guest read', () => {
  assert.is(slotCmdline({ base: 0xd0001000, irq: 6 }), 'virtio_mmio.device=4K@0xd0001000:6');
});

test.run();
