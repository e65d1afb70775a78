import { signalEventFd } from '../io/eventfd.ts';
import type { Vm } from '../kvm/vm.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { AcpiEvents, attachAcpiEvents } from './acpi/events.ts';
import { Bus } from './bus.ts';
import { attachPower, type PowerAction } from './power.ts';
import { CMOS_PORT, CMOS_PORTS, Cmos, type CmosBuffers, CmosState } from './rtc/cmos.ts';
import { type SerialBuffers, SerialState } from './serial/state.ts';
import { COM1, type SerialEffects, Uart } from './serial/uart.ts';
import { REGISTER_BLOCK_SIZE, VirtioMmio } from './virtio/mmio.ts';
import type { VirtioSlot } from './virtio/slot.ts';
import { VirtioState } from './virtio/state.ts';

/** All devices of one VM, as data that can cross to its vCPU threads. */
export interface PlatformDescriptor {
  readonly serial: SerialBuffers;
  readonly cmos: CmosBuffers;
  readonly acpiEvents: SharedArrayBuffer;
  readonly virtio: readonly VirtioSlot[];
  /** The host can queue port writes (KVM_CAP_COALESCED_PIO). */
  readonly coalescedPio: boolean;
}

export interface PlatformEffects {
  outputReady(): void;
  awaitRoom(): void;
  power(action: PowerAction): void;
}

/** The devices as one thread sees them: its own objects over the shared state. */
export interface Platform {
  readonly pio: Bus;
  readonly mmio: Bus;
  readonly uart: Uart;
}

export function createPlatform(
  descriptor: PlatformDescriptor,
  vm: Vm,
  memory: GuestMemory,
  effects: PlatformEffects,
): Platform {
  const pio = new Bus();
  const mmio = new Bus();
  const uart = createUart(descriptor, vm, effects);
  pio.attach(COM1.port, COM1.length, uart);
  pio.attach(CMOS_PORT, CMOS_PORTS, new Cmos(new CmosState(descriptor.cmos)));
  attachAcpiEvents(pio, new AcpiEvents(descriptor.acpiEvents));
  attachPower(pio, action => effects.power(action));
  for (const { base, attachment } of descriptor.virtio) {
    const { model, queueEventFds, interruptEventFd } = attachment;
    const state = new VirtioState(attachment.state, model);
    const transport = new VirtioMmio(state, model, memory, {
      notify: index => signalEventFd(queueEventFds[index] as number),
      activationChanged: () => queueEventFds.forEach(signalEventFd),
      interrupt: () => signalEventFd(interruptEventFd),
    });
    mmio.attach(base, REGISTER_BLOCK_SIZE, transport);
  }
  return { pio, mmio, uart };
}

/** Lets the kernel queue writes of the console port's transmit register, or has them exit (KVM_CAP_COALESCED_PIO). */
export function setCoalescing(vm: Vm, serial: SerialState, enabled: boolean): void {
  vm.coalescePort(COM1.port, enabled);
  serial.coalescing = enabled;
}

/** The console port. Any thread may have one; the control thread's is for input. */
export function createUart(
  { serial, coalescedPio }: PlatformDescriptor,
  vm: Vm,
  { outputReady, awaitRoom }: Pick<PlatformEffects, 'outputReady' | 'awaitRoom'>,
): Uart {
  const state = new SerialState(serial);
  const effects: SerialEffects = {
    line: { set: level => vm.setIrqLine(COM1.irq, level) },
    outputReady,
    awaitRoom,
    setCoalescing: enabled => {
      if (coalescedPio) setCoalescing(vm, state, enabled);
    },
  };
  return new Uart(state, effects);
}
