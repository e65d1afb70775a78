import { SerialState } from '../../vmm/devices/serial/state.ts';
import type { ViewOf } from '../../vmm/ffi/struct.ts';
import { kvmClockData, kvmIrqchip, kvmPitState2 } from '../../vmm/kvm/layouts.ts';
import { type VcpuStateName, type VcpuStateView, vcpuStateNames, vcpuStates } from '../../vmm/kvm/vcpu.ts';
import type { VcpuSlab } from '../../vmm/vcpu/slab.ts';
import { IRQCHIP_IDS, type VmCapture } from '../transient/capture.ts';
import {
  corrupt,
  decodeStruct,
  encodeStruct,
  parseBytes,
  parseU64,
  type StructJson,
} from './struct-codec.ts';

const VERSION = 1;
const MAXIMUM_VCPUS = 256;
const MAXIMUM_MSRS = 1024;
const MAXIMUM_DEVICES = 64;
const MAXIMUM_DEVICE_WORDS = 4096;
const MAXIMUM_INPUT_BYTES = 4096;

export interface VcpuState {
  readonly parts: { readonly [Name in VcpuStateName]: VcpuStateView<Name> };
  readonly msrs: readonly { readonly index: number; readonly data: bigint }[];
}

export interface DeviceState {
  readonly name: string;
  /** virtio device type (virtio 1.2 section 5): what is restored must be of the same kind. */
  readonly deviceId: number;
  readonly words: Int32Array;
  readonly config: Uint8Array;
}

/** All of a VM but its RAM and disks, ready to be loaded into a new one. */
export interface VmState {
  readonly vcpus: readonly VcpuState[];
  readonly irqchips: readonly ViewOf<typeof kvmIrqchip>[];
  readonly pit: ViewOf<typeof kvmPitState2>;
  readonly clock: ViewOf<typeof kvmClockData>;
  readonly serial: Int32Array;
  readonly serialInput: Uint8Array;
  /** The real-time clock: its chosen register, and its date in seconds since 1970. */
  readonly cmos: { readonly index: number; readonly date_s: number };
  readonly acpiEvents: number;
  readonly devices: readonly DeviceState[];
}

/** The content of state.json. */
export interface VmStateJson {
  readonly version: number;
  readonly vcpus: readonly (Record<string, StructJson> & { msrs: Record<string, string> })[];
  readonly irqchips: readonly StructJson[];
  readonly pit: StructJson;
  readonly clock: StructJson;
  readonly serial: { readonly registers: number[]; readonly input: string };
  readonly cmos: { readonly index: number; readonly date_s: number };
  readonly acpi_events: number;
  readonly devices: readonly { name: string; device_id: number; words: number[]; config: string }[];
}

export function encodeVmState(
  slabs: readonly VcpuSlab[],
  capture: VmCapture,
  deviceIds: readonly number[],
): VmStateJson {
  return {
    version: VERSION,
    vcpus: slabs.map(encodeVcpu),
    irqchips: capture.irqchips.map(chip => encodeStruct(kvmIrqchip, chip)),
    pit: encodeStruct(kvmPitState2, capture.pit),
    clock: encodeStruct(kvmClockData, capture.clock),
    serial: { registers: [...capture.serial], input: Buffer.from(capture.serialInput).toString('base64') },
    cmos: { ...capture.cmos },
    acpi_events: capture.acpiEvents,
    devices: capture.devices.map(({ name, words, config }, i) => ({
      name,
      device_id: deviceIds[i] as number,
      words: [...words],
      config: Buffer.from(config).toString('base64'),
    })),
  };
}

function encodeVcpu(slab: VcpuSlab) {
  const parts = vcpuStateNames.map(name => [
    name,
    encodeStruct(vcpuStates[name].layout as typeof vcpuStates.regs.layout, slab.parts[name] as never),
  ]);
  const msrs = slab.msrValues.map(({ index, data }) => [`0x${index.toString(16)}`, `0x${data.toString(16)}`]);
  return { ...Object.fromEntries(parts), msrs: Object.fromEntries(msrs) };
}

/** Throws TSVMM_E_SNAPSHOT_CORRUPT for anything that encodeVmState does not produce. */
export function decodeVmState(json: unknown): VmState {
  const root = objectOf(json, 'state', [
    'version',
    'vcpus',
    'irqchips',
    'pit',
    'clock',
    'serial',
    'cmos',
    'acpi_events',
    'devices',
  ]);
  if (root.version !== VERSION)
    throw corrupt('state.version', `is ${root.version}, this program knows ${VERSION}`);
  const chips = arrayOf(root.irqchips, IRQCHIP_IDS.length, 'state.irqchips');
  if (chips.length !== IRQCHIP_IDS.length) throw corrupt('state.irqchips', 'has the wrong length');
  const serial = objectOf(root.serial, 'state.serial', ['registers', 'input']);
  return {
    vcpus: arrayOf(root.vcpus, MAXIMUM_VCPUS, 'state.vcpus').map((vcpu, i) =>
      decodeVcpu(vcpu, `state.vcpus[${i}]`),
    ),
    irqchips: chips.map((chip, i) => decodeStruct(kvmIrqchip, chip, `state.irqchips[${i}]`)),
    pit: decodeStruct(kvmPitState2, root.pit, 'state.pit'),
    clock: decodeStruct(kvmClockData, root.clock, 'state.clock'),
    serial: decodeWords(serial.registers, SerialState.registerCount, 'state.serial.registers'),
    serialInput: decodeBase64(serial.input, MAXIMUM_INPUT_BYTES, 'state.serial.input'),
    cmos: decodeCmos(root.cmos),
    acpiEvents: decodeEvents(root.acpi_events),
    devices: arrayOf(root.devices, MAXIMUM_DEVICES, 'state.devices').map((device, i) =>
      decodeDevice(device, `state.devices[${i}]`),
    ),
  };
}

function decodeVcpu(json: unknown, path: string): VcpuState {
  const vcpu = objectOf(json, path, [...vcpuStateNames, 'msrs']);
  const parts = vcpuStateNames.map(name => [
    name,
    decodeStruct(vcpuStates[name].layout as typeof vcpuStates.regs.layout, vcpu[name], `${path}.${name}`),
  ]);
  const msrs = Object.entries(vcpu.msrs ?? {});
  if (msrs.length > MAXIMUM_MSRS) throw corrupt(`${path}.msrs`, 'has too many entries');
  return {
    parts: Object.fromEntries(parts) as VcpuState['parts'],
    msrs: msrs.map(([index, data]) => {
      const at = `${path}.msrs.${index}`;
      const number = Number(parseU64(index, at));
      if (number > 0xffffffff) throw corrupt(at, 'is not an MSR');
      return { index: number, data: parseU64(data, at) };
    }),
  };
}

const MOST_SECONDS = 2 ** 40;
const EVENTS_END = 4;

const isCount = (value: unknown, end: number): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < end;

function decodeEvents(json: unknown): number {
  if (!isCount(json, EVENTS_END)) throw corrupt('state.acpi_events', 'is no set of events');
  return json;
}

function decodeCmos(json: unknown): VmState['cmos'] {
  const { index, date_s } = objectOf(json, 'state.cmos', ['index', 'date_s']);
  if (!isCount(index, 128)) throw corrupt('state.cmos.index', 'is no register');
  if (!isCount(date_s, MOST_SECONDS)) throw corrupt('state.cmos.date_s', 'is no date');
  return { index, date_s };
}

function decodeDevice(json: unknown, path: string): DeviceState {
  const { name, device_id, words, config } = objectOf(json, path, ['name', 'device_id', 'words', 'config']);
  if (typeof name !== 'string') throw corrupt(`${path}.name`, 'is not a string');
  if (!Number.isInteger(device_id)) throw corrupt(`${path}.device_id`, 'is not a number');
  const list = arrayOf(words, MAXIMUM_DEVICE_WORDS, `${path}.words`);
  return {
    name,
    deviceId: device_id as number,
    words: decodeWords(list, list.length, `${path}.words`),
    config: parseBytes(config, 256, `${path}.config`),
  };
}

function decodeWords(json: unknown, length: number, path: string): Int32Array {
  const list = arrayOf(json, length, path);
  if (list.length !== length) throw corrupt(path, 'has the wrong length');
  for (const word of list)
    if (!Number.isInteger(word) || (word as number) !== ((word as number) | 0))
      throw corrupt(path, 'holds something else than 32-bit words');
  return Int32Array.from(list as number[]);
}

function decodeBase64(json: unknown, maximum: number, path: string): Uint8Array {
  const bytes = typeof json === 'string' ? Buffer.from(json, 'base64') : undefined;
  if (bytes === undefined || bytes.length > maximum) throw corrupt(path, 'is not a short base64 string');
  return bytes;
}

function objectOf(json: unknown, path: string, names: readonly string[]): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw corrupt(path, 'is not an object');
  for (const name of Object.keys(json))
    if (!names.includes(name)) throw corrupt(`${path}.${name}`, 'is unknown');
  return json as Record<string, unknown>;
}

function arrayOf(json: unknown, maximum: number, path: string): unknown[] {
  if (!Array.isArray(json) || json.length > maximum)
    throw corrupt(path, `is not a list of at most ${maximum}`);
  return json;
}
