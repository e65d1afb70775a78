import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DeviceHost } from '../../../vmm/devices/device-host.ts';
import { gpa } from '../../../vmm/memory/address.ts';
import { processResources } from '../../support/process-resources.ts';
import { FakeDevice, FakeGuest } from '../../support/virtio-driver.ts';

const LIMIT_MS = 10_000;

/** A VM with one entropy device, served by the thread of `host`. */
async function attach(host: DeviceHost) {
  const guest = new FakeGuest();
  const plug = host.createRng();
  const device = new FakeDevice(guest, plug.model);
  const { address, length, cow } = guest.ram;
  await plug.attach(device.attachment, { address, length, cow });
  device.initialize();
  const ask = (): void => {
    device.queues[0]?.add([], [{ at: gpa(0x1000), length: 16 }]);
    device.queues[0]?.kick();
  };
  const answer = async () => {
    for (const started = Date.now(); Date.now() - started < LIMIT_MS; await delay(1)) {
      const used = device.queues[0]?.takeUsed();
      if (used !== undefined) return used.written;
    }
    return undefined;
  };
  const close = () => {
    device.close();
    guest.free();
  };
  return { plug, ask, answer, close, queue: device.queues[0] };
}

test('DeviceHost: one thread serves the devices of several VMs', async () => {
  const host = new DeviceHost();
  const vms = await Promise.all([attach(host), attach(host), attach(host)]);
  for (const { ask } of vms) ask();
  for (const { answer } of vms) assert.is(await answer(), 16);
  await Promise.all(vms.map(({ plug }) => plug.detach()));
  await host.stop();
  for (const { close } of vms) close();
});

test('DevicePlug.detach(): afterwards nobody touches the VM; twice is harmless; others are served on', async () => {
  const host = new DeviceHost();
  const [gone, other] = await Promise.all([attach(host), attach(host)]);
  gone.ask();
  assert.is(await gone.answer(), 16);
  await gone.plug.detach();
  await gone.plug.detach();
  gone.ask();
  other.ask();
  assert.is(await other.answer(), 16);
  assert.is(gone.queue?.takeUsed(), undefined);
  await other.plug.detach();
  await host.stop();
  gone.close();
  other.close();
});

test('DevicePlug.detach(): tells that the device could not be served', async () => {
  const host = new DeviceHost();
  const guest = new FakeGuest();
  const plug = host.createRng();
  const device = new FakeDevice(guest, plug.model);
  // Functions cannot cross to a thread.
  await plug.attach(device.attachment, guest.ram);
  const error = await plug.detach().catch((reason: unknown) => reason);
  assert.match(String(error), /could not be cloned/);
  await host.stop();
  device.close();
  guest.free();
});

test('DeviceHost.createConsole(): output reaches the control thread, the window size the device', async () => {
  const host = new DeviceHost();
  const guest = new FakeGuest();
  const plug = host.createConsole();
  const device = new FakeDevice(guest, plug.model);
  const { address, length, cow } = guest.ram;
  await plug.attach(device.attachment, { address, length, cow });
  const announced = new Promise<void>(resolve => {
    plug.console.onOutput = resolve;
  });
  assert.not.ok(plug.console.isLive);
  device.initialize();
  assert.ok(plug.console.isLive);
  guest.memory.copyIn(gpa(0x1000), Buffer.from('hello'));
  device.queues[1]?.add([{ at: gpa(0x1000), length: 5 }], []);
  device.queues[1]?.kick();
  await announced;
  assert.is(Buffer.from(plug.console.takeOutput()).toString(), 'hello');
  plug.console.resize(100, 50);
  for (const started = Date.now(); Date.now() - started < LIMIT_MS && device.config(1)[0] !== 100; )
    await delay(1);
  assert.equal([...device.config(4)], [100, 0, 50, 0]);
  await plug.detach();
  await host.stop();
  device.close();
  guest.free();
});

test('DeviceHost.stop(): leaves no thread and no descriptor, and may come without a device', async () => {
  const round = async () => {
    const host = new DeviceHost();
    const vm = await attach(host);
    vm.ask();
    await vm.answer();
    await vm.plug.detach();
    await host.stop();
    await host.stop();
    vm.close();
  };
  await round();
  const before = processResources();
  await round();
  await new DeviceHost().stop();
  assert.equal(processResources(), before);
});

test.run();
