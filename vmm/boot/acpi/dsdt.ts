import { ACPI_EVENT_IRQ, ACPI_EVENT_PORT, AcpiEvent } from '../../devices/acpi/events.ts';
import { SLEEP_TYPE_S5 } from '../../devices/power.ts';
import { CMOS_PORT, CMOS_PORTS } from '../../devices/rtc/cmos.ts';
import { COM1 } from '../../devices/serial/uart.ts';
import { REGISTER_BLOCK_SIZE } from '../../devices/virtio/mmio.ts';
import {
  AddressSpace,
  type Aml,
  and,
  device,
  dwordField,
  edgeInterrupt,
  eisaId,
  integer,
  local,
  memory32Fixed,
  method,
  name,
  notify,
  operationRegion,
  packageOf,
  ports,
  reference,
  resourceTemplate,
  scope,
  store,
  string,
  when,
} from './aml.ts';

/** A virtio-mmio device: where its registers are, and its interrupt. */
export interface MmioDevice {
  readonly base: number;
  readonly irq: number;
}

/** Values of Notify: "status changed" of the power button (ACPI 6.5 table 5.171), and of a generation id. */
const PRESSED = 0x80;
const GENERATION_CHANGED = 0x80;

/** The byte code by which a kernel finds the machine's devices. */
export function differentiatedDescription(devices: readonly MmioDevice[], generationId: number): Aml[] {
  return [
    // What the kernel writes into the sleep control register to power off.
    name('\\_S5_', packageOf(integer(SLEEP_TYPE_S5), integer(SLEEP_TYPE_S5), integer(0), integer(0))),
    scope(
      '\\_SB_',
      serialPort(),
      clock(),
      powerButton(),
      generationCounter(generationId),
      eventDevice(),
      ...devices.map(virtioDevice),
    ),
  ];
}

const serialPort = (): Aml =>
  device(
    'COM1',
    name('_HID', eisaId('PNP0501')),
    name('_UID', integer(1)),
    name('_CRS', resourceTemplate(ports(COM1.port, COM1.length), edgeInterrupt(COM1.irq))),
  );

const clock = (): Aml =>
  device(
    'RTC0',
    name('_HID', eisaId('PNP0B00')),
    name('_CRS', resourceTemplate(ports(CMOS_PORT, CMOS_PORTS))),
  );

const powerButton = (): Aml => device('PWRB', name('_HID', eisaId('PNP0C0C')), name('_UID', integer(0)));

/** "Virtual Machine Generation ID" (Microsoft, 2018): the compatible id is what drivers look for. */
const generationCounter = (address: number): Aml =>
  device(
    'VGEN',
    name('_HID', string('TSVM0001')),
    name('_CID', string('VM_Gen_Counter')),
    name('_DDN', string('VM_Gen_Counter')),
    name('ADDR', packageOf(integer(address % 2 ** 32), integer(Math.floor(address / 2 ** 32)))),
  );

/** The generic event device (ACPI 6.5 section 5.6.9): one interrupt, and a register that says what has happened. */
const eventDevice = (): Aml =>
  device(
    'GED0',
    name('_HID', string('ACPI0013')),
    name('_UID', integer(0)),
    name('_CRS', resourceTemplate(edgeInterrupt(ACPI_EVENT_IRQ))),
    operationRegion('EREG', AddressSpace.IO, ACPI_EVENT_PORT, 4),
    dwordField('EREG', 'EVNT'),
    method(
      '_EVT',
      1,
      store(reference('EVNT'), local(0)),
      when(and(local(0), integer(AcpiEvent.POWER_BUTTON)), notify('\\_SB_.PWRB', PRESSED)),
      when(and(local(0), integer(AcpiEvent.NEW_GENERATION)), notify('\\_SB_.VGEN', GENERATION_CHANGED)),
    ),
  );

/** LNRO0005 is what Linux's virtio_mmio listens to. */
const virtioDevice = ({ base, irq }: MmioDevice, index: number): Aml =>
  device(
    `VR${index.toString(16).toUpperCase().padStart(2, '0')}`,
    name('_HID', string('LNRO0005')),
    name('_UID', integer(index)),
    name('_CRS', resourceTemplate(memory32Fixed(base, REGISTER_BLOCK_SIZE), edgeInterrupt(irq))),
  );
