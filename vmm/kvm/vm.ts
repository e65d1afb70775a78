import { checked } from '../ffi/errno.ts';
import { close, ioctl, ioctlBuffer, MAP, mmap, PROT } from '../ffi/libc.ts';
import type { Gpa, Hva } from '../memory/address.ts';
import { hva, PAGE_SIZE } from '../memory/address.ts';
import { allocateNative } from '../memory/native.ts';
import { Capability, IOEVENTFD_FLAG, MSR_EXIT_REASON_FILTER, MSR_FILTER_WRITE } from './constants.ts';
import {
  kvmClockData,
  kvmCoalescedMmioZone,
  kvmEnableCap,
  kvmIoeventfd,
  kvmIrqchip,
  kvmIrqfd,
  kvmIrqLevel,
  kvmMsrFilter,
  kvmPitConfig,
  kvmPitState2,
  kvmUserspaceMemoryRegion,
} from './layouts.ts';
import { io, ior, iow, iowr } from './request.ts';
import { Vcpu } from './vcpu.ts';

export const KVM_CREATE_VCPU = io(0x41);
export const KVM_SET_USER_MEMORY_REGION = iow(0x46, kvmUserspaceMemoryRegion);
export const KVM_SET_TSS_ADDR = io(0x47);
export const KVM_SET_IDENTITY_MAP_ADDR = iow(0x48, { size: 8 });
export const KVM_CREATE_IRQCHIP = io(0x60);
export const KVM_IRQ_LINE = iow(0x61, kvmIrqLevel);
export const KVM_GET_IRQCHIP = iowr(0x62, kvmIrqchip);
export const KVM_SET_IRQCHIP = ior(0x63, kvmIrqchip);
export const KVM_REGISTER_COALESCED_MMIO = iow(0x67, kvmCoalescedMmioZone);
export const KVM_UNREGISTER_COALESCED_MMIO = iow(0x68, kvmCoalescedMmioZone);
export const KVM_ENABLE_CAP = iow(0xa3, kvmEnableCap);
export const KVM_X86_SET_MSR_FILTER = iow(0xc6, kvmMsrFilter);
export const KVM_IRQFD = iow(0x76, kvmIrqfd);
export const KVM_CREATE_PIT2 = iow(0x77, kvmPitConfig);
export const KVM_IOEVENTFD = iow(0x79, kvmIoeventfd);
export const KVM_SET_CLOCK = iow(0x7b, kvmClockData);
export const KVM_GET_CLOCK = ior(0x7c, kvmClockData);
export const KVM_GET_PIT2 = ior(0x9f, kvmPitState2);
export const KVM_SET_PIT2 = iow(0xa0, kvmPitState2);

/** Master and slave, and where struct kvm_pic_state has its interrupt mask register. */
const PIC_CHIPS = [0, 1];
const PIC_INTERRUPT_MASK = 2;
/** KVM_PIT_SPEAKER_DUMMY: port 0x61 is answered in the kernel. */
const PIT_SPEAKER_DUMMY = 1;
/** Three pages below 4 GiB, and one for the identity map: Intel hosts need them before the first vCPU. */
const TSS_ADDRESS = 0xfffbd000;
const IDENTITY_MAP_ADDRESS = 0xfffbc000;

export interface IoEventTarget {
  readonly address: number;
  readonly length: 1 | 2 | 4 | 8;
  readonly port?: boolean;
  /** Only writes of this value count; all do if left out. */
  readonly match?: number;
}

/** One virtual machine: the file descriptor of KVM_CREATE_VM (KVM API document, "VM ioctls"). */
export class Vm {
  readonly fd: number;
  private readonly vcpuMmapSize: number;

  constructor(fd: number, vcpuMmapSize: number) {
    this.fd = fd;
    this.vcpuMmapSize = vcpuMmapSize;
  }

  /** In-kernel PIC, IOAPIC, LAPICs and PIT. Must come before the first vCPU. */
  createInterruptControllers(): void {
    checked(ioctl(this.fd, KVM_SET_TSS_ADDR, TSS_ADDRESS), 'KVM_SET_TSS_ADDR');
    const identity = new Uint8Array(new BigUint64Array([BigInt(IDENTITY_MAP_ADDRESS)]).buffer);
    checked(ioctlBuffer(this.fd, KVM_SET_IDENTITY_MAP_ADDR, identity), 'KVM_SET_IDENTITY_MAP_ADDR');
    checked(ioctl(this.fd, KVM_CREATE_IRQCHIP, 0), 'KVM_CREATE_IRQCHIP');
    const pit = kvmPitConfig.allocate();
    pit.flags = PIT_SPEAKER_DUMMY;
    checked(ioctlBuffer(this.fd, KVM_CREATE_PIT2, pit.bytes), 'KVM_CREATE_PIT2');
    for (const chipId of PIC_CHIPS) this.maskPic(chipId);
  }

  /** As firmware leaves it: a guest that uses the IOAPIC alone must not get the same interrupts from the PIC too. */
  private maskPic(chipId: number): void {
    const state = this.getIrqchip(chipId);
    state.chip[PIC_INTERRUPT_MASK] = 0xff;
    this.setIrqchip(state.bytes);
  }

  /** Maps host memory into the guest; length 0 removes the slot. */
  setMemoryRegion(slot: number, start: Gpa, length: number, address: Hva, flags = 0): void {
    const region = kvmUserspaceMemoryRegion.allocate();
    region.slot = slot;
    region.flags = flags;
    region.guest_phys_addr = start;
    region.memory_size = length;
    region.userspace_addr = address;
    checked(ioctlBuffer(this.fd, KVM_SET_USER_MEMORY_REGION, region.bytes), 'KVM_SET_USER_MEMORY_REGION');
  }

  /** The id is also the vCPU's APIC id. */
  createVcpu(id: number): Vcpu {
    const fd = checked(ioctl(this.fd, KVM_CREATE_VCPU, id), 'KVM_CREATE_VCPU');
    const run = mmap(0, this.vcpuMmapSize, PROT.READ | PROT.WRITE, MAP.SHARED, fd, 0);
    if (run < 0) close(fd);
    return new Vcpu({ id, fd, run: hva(checked(run, 'mmap of kvm_run')), runLength: this.vcpuMmapSize });
  }

  /** Guest writes to the target signal `eventFd` in the kernel, without an exit to user space. */
  addIoEventFd(eventFd: number, { address, length, port = false, match }: IoEventTarget): void {
    const request = kvmIoeventfd.allocate();
    request.addr = address;
    request.len = length;
    request.fd = eventFd;
    request.flags = (port ? IOEVENTFD_FLAG.PIO : 0) | (match === undefined ? 0 : IOEVENTFD_FLAG.DATAMATCH);
    request.datamatch = BigInt(match ?? 0);
    checked(ioctlBuffer(this.fd, KVM_IOEVENTFD, request.bytes), 'KVM_IOEVENTFD');
  }

  /** Signalling `eventFd` raises an edge on interrupt line `gsi`, in the kernel. */
  addIrqFd(eventFd: number, gsi: number): void {
    const request = kvmIrqfd.allocate();
    request.fd = eventFd;
    request.gsi = gsi;
    checked(ioctlBuffer(this.fd, KVM_IRQFD, request.bytes), 'KVM_IRQFD');
  }

  /** Sets the level of an interrupt line. Callable from any thread. */
  setIrqLine(gsi: number, level: 0 | 1): void {
    const request = kvmIrqLevel.allocate();
    request.irq = gsi;
    request.level = level;
    checked(ioctlBuffer(this.fd, KVM_IRQ_LINE, request.bytes), 'KVM_IRQ_LINE');
  }

  /** Writes to the port are queued in the coalescing ring instead of exiting (KVM_CAP_COALESCED_PIO). */
  coalescePort(port: number, enabled: boolean): void {
    const zone = kvmCoalescedMmioZone.allocate();
    zone.addr = port;
    zone.size = 1;
    zone.pio = 1;
    const [request, name] = enabled
      ? ([KVM_REGISTER_COALESCED_MMIO, 'KVM_REGISTER_COALESCED_MMIO'] as const)
      : ([KVM_UNREGISTER_COALESCED_MMIO, 'KVM_UNREGISTER_COALESCED_MMIO'] as const);
    checked(ioctlBuffer(this.fd, request, zone.bytes), name);
  }

  getIrqchip(chipId: number, chip = kvmIrqchip.allocate()) {
    chip.chip_id = chipId;
    checked(ioctlBuffer(this.fd, KVM_GET_IRQCHIP, chip.bytes), 'KVM_GET_IRQCHIP');
    return chip;
  }

  setIrqchip(state: Uint8Array): void {
    checked(ioctlBuffer(this.fd, KVM_SET_IRQCHIP, state), 'KVM_SET_IRQCHIP');
  }

  getPit(pit = kvmPitState2.allocate()) {
    checked(ioctlBuffer(this.fd, KVM_GET_PIT2, pit.bytes), 'KVM_GET_PIT2');
    return pit;
  }

  setPit(state: Uint8Array): void {
    checked(ioctlBuffer(this.fd, KVM_SET_PIT2, state), 'KVM_SET_PIT2');
  }

  getClock(clock = kvmClockData.allocate()) {
    checked(ioctlBuffer(this.fd, KVM_GET_CLOCK, clock.bytes), 'KVM_GET_CLOCK');
    return clock;
  }

  /** Continues kvmclock at `clock_ns`. */
  setClock(clock_ns: bigint): void {
    const clock = kvmClockData.allocate();
    clock.clock = clock_ns;
    checked(ioctlBuffer(this.fd, KVM_SET_CLOCK, clock.bytes), 'KVM_SET_CLOCK');
  }

  /** The guest's writes of this MSR exit to user space, before they take effect (KVM_CAP_X86_MSR_FILTER). */
  exitOnMsrWrite(index: number): void {
    const capability = kvmEnableCap.allocate();
    capability.cap = Capability.X86_USER_SPACE_MSR;
    capability.args[0] = MSR_EXIT_REASON_FILTER;
    checked(ioctlBuffer(this.fd, KVM_ENABLE_CAP, capability.bytes), 'KVM_ENABLE_CAP');
    // Zeroed: its one bit says that the access is not allowed.
    const bitmap = allocateNative(PAGE_SIZE);
    try {
      const filter = kvmMsrFilter.allocate();
      const range = filter.ranges[0] as (typeof filter.ranges)[number];
      range.flags = MSR_FILTER_WRITE;
      range.nmsrs = 1;
      range.base = index;
      range.bitmap = bitmap.address;
      checked(ioctlBuffer(this.fd, KVM_X86_SET_MSR_FILTER, filter.bytes), 'KVM_X86_SET_MSR_FILTER');
    } finally {
      bitmap.free();
    }
  }

  close(): void {
    close(this.fd);
  }
}
