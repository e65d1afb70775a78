import { guestCpuid } from './arch/x86_64/cpuid.ts';
import { stateMsrs } from './arch/x86_64/msrs.ts';
import { xsaveAreaOf } from './arch/x86_64/xsave-area.ts';
import { bootSoftware } from './boot/boot.ts';
import { AcpiEvents } from './devices/acpi/events.ts';
import { type PlatformDescriptor, setCoalescing } from './devices/platform.ts';
import { CmosState } from './devices/rtc/cmos.ts';
import { SerialState } from './devices/serial/state.ts';
import { QUEUE_NOTIFY_OFFSET } from './devices/virtio/mmio.ts';
import { slotPlace, type VirtioSlot } from './devices/virtio/slot.ts';
import { VirtioState } from './devices/virtio/state.ts';
import { closeEventFd, createEventFd } from './io/eventfd.ts';
import type { CpuidEntry, Kvm } from './kvm/kvm.ts';
import type { Vcpu } from './kvm/vcpu.ts';
import type { Vm } from './kvm/vm.ts';
import type { MachineConfig } from './machine.ts';
import type { MachineParts } from './machine-parts.ts';
import { hvaOffset } from './memory/address.ts';
import { GuestMemory } from './memory/guest-memory.ts';
import { ramRegions } from './memory/layout.ts';
import { allocateNative } from './memory/native.ts';
import { allocateRam, type Ram, type RamDescriptor } from './memory/ram.ts';
import { prepareSoftwareKvm } from './software-kvm.ts';
import type { Teardown } from './teardown.ts';
import { SLAB_SIZE, VcpuSlab } from './vcpu/slab.ts';
import { VcpuHandle } from './vcpu/vcpu-handle.ts';

export interface ComposedParts extends MachineParts {
  readonly platform: PlatformDescriptor;
  readonly threads: readonly VcpuHandle[];
  readonly slabs: readonly VcpuSlab[];
}

/**
 * Builds a machine in phases: VM, memory, vCPUs, devices, software. Each leaves its undoing in `teardown`, which the
 * caller runs when a phase throws and at the machine's end.
 */
export async function compose(kvm: Kvm, config: MachineConfig, teardown: Teardown): Promise<ComposedParts> {
  // Threads take longest to start, so they come first and load while the rest is built.
  const threads = Array.from({ length: config.vcpus }, (_, i) => config.threads?.[i] ?? new VcpuHandle());
  const endThreads = async () => void (await Promise.all(threads.map(thread => thread.end())));
  teardown.add(endThreads);

  const vm = kvm.createVm();
  teardown.add(() => vm.close());
  vm.createInterruptControllers();

  const ram = allocateRam(config.memory_bytes, { hugePages: config.hugePages ?? true });
  teardown.add(() => ram.free());
  const software = config.restored ?? bootSoftware(config);
  const begun = software.begin?.(ram);
  if (begun !== undefined) teardown.add(() => begun.end());
  const memory = new GuestMemory(ram);

  const supported = kvm.supportedCpuid();
  const vcpus = createVcpus(kvm, vm, config.vcpus, supported, teardown);
  const slabMemory = allocateNative(SLAB_SIZE * vcpus.length);
  teardown.add(() => slabMemory.free());
  const slabAddresses = vcpus.map(({ id }) => hvaOffset(slabMemory.address, SLAB_SIZE * id));

  const slots = createSlots(vm, config, teardown);
  for (const [i, plug] of config.devices.entries()) {
    teardown.add(() => plug.detach());
    await plug.attach((slots[i] as VirtioSlot).attachment, describe(ram));
  }
  const platform = createPlatformDescriptor(kvm, slots);
  const serial = new SerialState(platform.serial);
  if (platform.coalescedPio) setCoalescing(vm, serial, true);

  const parts: MachineParts = {
    vm,
    ram,
    memory,
    slots,
    vcpus,
    serial,
    cmos: new CmosState(platform.cmos),
    acpiEvents: new AcpiEvents(platform.acpiEvents),
    firmwareTables: config.firmwareTables ?? false,
  };
  const xsave = xsaveAreaOf(supported);
  const completion = config.firmwareTables ? prepareSoftwareKvm(kvm, vm) : undefined;
  // Idempotent, so once more at the top: nothing that a vCPU is made of may go before its thread.
  teardown.add(async () => void (await Promise.all([endThreads(), begun?.letGo()])));
  // Before there is anything to run: the threads prepare while the software comes, and need then only be let run.
  for (const [id, thread] of threads.entries()) {
    const slab = slabAddresses[id] as (typeof slabAddresses)[number];
    thread.assign(vcpus[id] as Vcpu, {
      vmFd: vm.fd,
      ram: describe(ram),
      platform,
      slab,
      xsave,
      ...(completion && { completion }),
    });
  }

  // Late, as right after KVM_CREATE_VM the kernel takes milliseconds for the first region, soon only microseconds.
  mapRam(vm, ram);
  await software.install(parts);
  const msrs = stateMsrs(kvm, vcpus[0] as Vcpu);
  const slabs = slabAddresses.map(address => new VcpuSlab(address));
  for (const slab of slabs) slab.prepare(msrs);
  // VMs that go on together are released together: the clock of one whose thread still loads would run ahead of it.
  if (config.restored !== undefined) await Promise.all(threads.map(thread => thread.ready()));
  return { ...parts, platform, threads, slabs };
}

const describe = ({ address, length, cow }: Ram): RamDescriptor => ({ address, length, cow });

function createVcpus(
  kvm: Kvm,
  vm: Vm,
  count: number,
  supported: readonly CpuidEntry[],
  teardown: Teardown,
): Vcpu[] {
  const vcpus = Array.from({ length: count }, (_, id) => {
    const vcpu = vm.createVcpu(id);
    teardown.add(() => vcpu.close());
    return vcpu;
  });
  const tscDeadlineTimer = kvm.check('TSC_DEADLINE_TIMER') > 0;
  const tsc_khz = (vcpus[0] as Vcpu).tsc_khz;
  for (const vcpu of vcpus) {
    vcpu.setCpuid(guestCpuid(supported, { vcpuId: vcpu.id, vcpuCount: count, tsc_khz, tscDeadlineTimer }));
  }
  return vcpus;
}

function mapRam(vm: Vm, ram: Ram): void {
  for (const [slot, { start, length, ramOffset }] of ramRegions(ram.length).entries()) {
    vm.setMemoryRegion(slot, start, length, hvaOffset(ram.address, ramOffset));
  }
}

function createPlatformDescriptor(kvm: Kvm, slots: readonly VirtioSlot[]): PlatformDescriptor {
  return {
    serial: SerialState.allocate(),
    cmos: CmosState.allocate(),
    acpiEvents: AcpiEvents.allocate(),
    virtio: slots,
    coalescedPio: kvm.check('COALESCED_PIO') > 0,
  };
}

/** Shared state, notifications and interrupts of each device. */
function createSlots(vm: Vm, { name, devices }: MachineConfig, teardown: Teardown): VirtioSlot[] {
  const eventFd = () => {
    const fd = createEventFd();
    teardown.add(() => closeEventFd(fd));
    return fd;
  };
  return devices.map((plug, index) => {
    const { base, irq } = slotPlace(index);
    const queueEventFds = plug.model.queueSizes.map(eventFd);
    const interruptEventFd = eventFd();
    for (const [queue, fd] of queueEventFds.entries()) {
      vm.addIoEventFd(fd, { address: base + QUEUE_NOTIFY_OFFSET, length: 4, match: queue });
    }
    vm.addIrqFd(interruptEventFd, irq);
    const state = VirtioState.allocate(plug.model);
    return {
      base,
      irq,
      attachment: {
        name: `${name}/${plug.name}`,
        model: plug.model,
        state,
        queueEventFds,
        interruptEventFd,
        interruptLine: { vmFd: vm.fd, gsi: irq },
      },
    };
  });
}
