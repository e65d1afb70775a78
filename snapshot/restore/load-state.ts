import { renewGenerationId } from '../../vmm/boot/acpi/generation-id.ts';
import { ACPI_EVENT_IRQ, AcpiEvent } from '../../vmm/devices/acpi/events.ts';
import { setCoalescing } from '../../vmm/devices/platform.ts';
import { COM1, mayCoalesce } from '../../vmm/devices/serial/uart.ts';
import { VirtioState } from '../../vmm/devices/virtio/state.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import type { Vcpu, VcpuStateName } from '../../vmm/kvm/vcpu.ts';
import type { Vm } from '../../vmm/kvm/vm.ts';
import type { MachineParts } from '../../vmm/machine-parts.ts';
import { corrupt } from '../image/struct-codec.ts';
import type { VcpuState, VmState } from '../image/vm-state.ts';

const MSR_TSC = 0x10;
const MSR_TSC_DEADLINE = 0x6e0;

/** Interrupt controllers need a settled APIC base, MSRs the APIC (deadline timer), and events come last. */
const loadOrder = ['mpState', 'regs', 'sregs', 'xcrs', 'xsave', 'debugregs', 'lapic'] as const;

/**
 * Puts the state into a new machine that has not run: RAM must be there already, as KVM writes its clock page when it
 * is told where that is. The clock is left for the moment of release, or the time until then would pass in the guest.
 * `elapsed_ns` is what the guest's time stamp counters (a software KVM shows the host's anyway) and its real-time clock are
 * to be ahead of the cut.
 * Throws TSVMM_E_SNAPSHOT_CORRUPT when the machine is of another shape than the state.
 */
export function loadVmState(
  state: VmState,
  parts: MachineParts,
  { elapsed_ns = 0n }: { readonly elapsed_ns?: bigint } = {},
): void {
  const { vm, vcpus, slots, serial, cmos } = parts;
  if (state.vcpus.length !== vcpus.length) {
    throw corrupt('state.vcpus', `are ${state.vcpus.length}, the VM has ${vcpus.length}`);
  }
  for (const [i, vcpu] of vcpus.entries()) loadVcpu(vcpu, state.vcpus[i] as VcpuState, elapsed_ns);
  for (const chip of state.irqchips) vm.setIrqchip(chip.bytes);
  vm.setPit(state.pit.bytes);

  serial.loadFrom(state.serial);
  if (serial.coalescing && !mayCoalesce(serial)) setCoalescing(vm, serial, false);
  for (const byte of state.serialInput) serial.input.push(byte);
  if (serial.interruptLevel === 1) raiseAgain(vm, COM1.irq);
  cmos.index = state.cmos.index;
  cmos.date_s = state.cmos.date_s + Number(elapsed_ns / 1_000_000_000n);
  announceGeneration(state, parts);
  if (state.devices.length !== slots.length) {
    throw corrupt('state.devices', `are ${state.devices.length}, the VM has ${slots.length}`);
  }
  for (const [i, { attachment, irq }] of slots.entries()) {
    const saved = state.devices[i];
    const device = new VirtioState(attachment.state, attachment.model);
    if (saved?.deviceId !== attachment.model.deviceId || saved.words.length !== device.wordCount) {
      throw corrupt(`state.devices[${i}]`, `does not fit ${attachment.name}`);
    }
    device.loadFrom(saved.words);
    device.config.set(saved.config);
    if (device.interruptStatus === 0) continue;
    raiseAgain(vm, irq);
    vm.setIrqLine(irq, 0);
  }
}

/** A restored VM is one more of its kind: it gets a generation id of its own, and is told so. */
function announceGeneration(
  { acpiEvents }: VmState,
  { vm, memory, acpiEvents: events, ...parts }: MachineParts,
): void {
  if (!parts.firmwareTables) return;
  renewGenerationId(memory);
  const line = { set: (level: 0 | 1) => vm.setIrqLine(ACPI_EVENT_IRQ, level) };
  events.raise(acpiEvents | AcpiEvent.NEW_GENERATION, line);
}

/**
 * In the pause, an interrupt may have been raised after the vCPU's APIC was captured and before the device was locked.
 * Once too often is harmless: drivers look at the device when they are interrupted.
 */
function raiseAgain(vm: Vm, irq: number): void {
  vm.setIrqLine(irq, 0);
  vm.setIrqLine(irq, 1);
}

function loadVcpu(vcpu: Vcpu, { parts, msrs }: VcpuState, elapsed_ns: bigint): void {
  for (const name of loadOrder) put(vcpu, name, parts[name]);
  // The TSC first and the deadline last: the deadline is compared with the TSC when it is set.
  const rank = (index: number) => (index === MSR_TSC ? 0 : index === MSR_TSC_DEADLINE ? 2 : 1);
  const elapsed_ticks = elapsed_ns === 0n ? 0n : (elapsed_ns * BigInt(vcpu.tsc_khz)) / 1_000_000n;
  const advanced = msrs.map(({ index, data }) => ({
    index,
    data: index === MSR_TSC ? BigInt.asUintN(64, data + elapsed_ticks) : data,
  }));
  let rest = advanced.sort((a, b) => rank(a.index) - rank(b.index));
  for (let done = 0; rest.length > 0; rest = rest.slice(done + 1)) {
    done = vcpu.setMsrs(rest);
    const refused = rest[done];
    if (refused !== undefined && refused.data !== 0n && !tolerated(refused.index)) {
      throw new TsvmmError(
        'TSVMM_E_KVM_UNFIT',
        `this host refuses MSR 0x${refused.index.toString(16)} of the snapshot`,
        {
          hint: 'restore on a host with the same kind of processor and KVM',
        },
      );
    }
  }
  put(vcpu, 'events', parts.events);
}

function put(vcpu: Vcpu, name: VcpuStateName, state: { readonly bytes: Uint8Array }): void {
  try {
    vcpu.set(name, state);
  } catch (cause) {
    throw new TsvmmError('TSVMM_E_KVM_UNFIT', `this host refuses the snapshot's ${name} of vCPU ${vcpu.id}`, {
      hint: 'restore on a host with the same kind of processor and KVM; tsvmm snap verify checks the snapshot',
      cause,
    });
  }
}

/** Read-only identification registers: refused unless they hold what the host has anyway. */
const tolerated = (index: number): boolean =>
  index === 0x8b || index === 0x10a || (index >= 0x480 && index <= 0x4ff);
