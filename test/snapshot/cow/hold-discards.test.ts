import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { holdDiscards } from '../../../snapshot/cow/hold-discards.ts';
import { balloonModel } from '../../../vmm/devices/virtio/balloon/model.ts';
import { slotPlace } from '../../../vmm/devices/virtio/slot.ts';
import { EventLoop } from '../../../vmm/io/event-loop.ts';
import { drainEventFd } from '../../../vmm/io/eventfd.ts';
import { CopyOnWrite } from '../../../vmm/memory/copy-on-write.ts';
import { FakeDevice, FakeGuest, pump } from '../../support/virtio-driver.ts';

const test = suite('holdDiscards');

test('when memory may go back again, balloons are told so, once', () => {
  const guest = new FakeGuest();
  const { attachment } = new FakeDevice(guest, balloonModel);
  const { ram } = guest;
  const cow = new CopyOnWrite(ram.cow, ram.address, ram.length);
  const loop = new EventLoop();
  let told = 0;
  for (const fd of attachment.queueEventFds)
    loop.add(fd, () => {
      drainEventFd(fd);
      told++;
    });

  const allow = holdDiscards({ cow, slots: [{ ...slotPlace(0), attachment }], state: 'running' });
  pump(loop);
  assert.equal([cow.state.mayDiscard, told], [false, 0]);
  allow();
  pump(loop);
  assert.equal([cow.state.mayDiscard, told], [true, 1]);
  allow();
  pump(loop);
  assert.equal([cow.state.mayDiscard, told], [true, 1]);
  loop.close();
  guest.free();
});

test.run();
