import type { Platform } from '../devices/platform.ts';
import { errno } from '../ffi/errno.ts';
import { memcpy } from '../ffi/libc.ts';
import { ExitReason, InternalError, IO_OUT } from '../kvm/constants.ts';
import { kvmRun } from '../kvm/layouts.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import { type Gpa, gpa, hvaOffset } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { CoalescedRing } from './coalesced-ring.ts';
import { type VcpuControlBlock, VcpuRequest, VcpuState } from './control-block.ts';
import { EagerSet } from './eager-set.ts';
import type { EmulationFailures } from './emulation-failures.ts';
import { exitError } from './exit-error.ts';
import type { FaultResolver } from './fault-resolver.ts';
import { monotonic_us } from './monotonic.ts';
import type { MsrWrites } from './msr-writes.ts';
import type { RoomBudget } from './room-budget.ts';
import type { VcpuSlab } from './slab.ts';

const { EINTR, EAGAIN, EFAULT } = errno;
const run = kvmRun.offsets;

/**
 * The life of a vCPU in its thread: parked or in KVM_RUN, as control asks. A request is looked at only after KVM_RUN
 * came back by a signal: at that point any PIO or MMIO is complete, so the vCPU's state can be saved.
 */
export class RunLoop {
  private readonly vcpu: Vcpu;
  private readonly control: VcpuControlBlock;
  private readonly platform: Platform;
  private readonly room: RoomBudget;
  private readonly memory: GuestMemory;
  private readonly shared: DataView;
  private readonly ring: CoalescedRing;
  private readonly slab: VcpuSlab;
  private readonly eagerSet: EagerSet;
  private readonly faults: FaultResolver;
  private readonly emulationFailures: EmulationFailures;
  private readonly msrWrites: MsrWrites | undefined;
  private poweredOff = false;

  constructor(
    vcpu: Vcpu,
    control: VcpuControlBlock,
    platform: Platform,
    room: RoomBudget,
    memory: GuestMemory,
    slab: VcpuSlab,
    faults: FaultResolver,
    emulationFailures: EmulationFailures,
    msrWrites: MsrWrites | undefined,
  ) {
    this.slab = slab;
    this.eagerSet = new EagerSet(memory, slab);
    this.faults = faults;
    this.emulationFailures = emulationFailures;
    this.msrWrites = msrWrites;
    this.vcpu = vcpu;
    this.control = control;
    this.platform = platform;
    this.room = room;
    this.memory = memory;
    this.shared = vcpu.shared;
    this.ring = new CoalescedRing(vcpu.shared, platform.uart);
  }

  /** The guest has ended itself: the vCPU does not run again. */
  powerOff(): void {
    this.poweredOff = true;
  }

  /** Returns when control asks for the end. Throws what exitError makes of an exit that nobody can handle. */
  live(): void {
    const { control } = this;
    for (;;) {
      control.state = VcpuState.PARKED;
      control.sleepWhileRequestIs(VcpuRequest.PARK);
      if (this.poweredOff) control.sleepWhileRequestIs(VcpuRequest.RUN);
      if (control.request === VcpuRequest.END) return;
      if (control.request === VcpuRequest.SNAPSHOT) this.capture();
      if (this.poweredOff || control.request !== VcpuRequest.RUN) continue;
      control.resumed_us = monotonic_us();
      control.state = VcpuState.RUNNING;
      this.runUntilRequest();
    }
  }

  /** Any PIO or MMIO is complete here: either KVM_RUN came back by a kick, or the vCPU was parked after one. */
  private capture(): void {
    const { control } = this;
    control.stopped_us = monotonic_us();
    control.state = VcpuState.STOPPED;
    this.captureState();
    control.captured_us = monotonic_us();
    control.state = VcpuState.CAPTURED;
    control.waitWhileRequestIs(VcpuRequest.SNAPSHOT);
  }

  private captureState(): void {
    this.slab.capture(this.vcpu);
    this.eagerSet.collect();
  }

  private runUntilRequest(): void {
    const { vcpu, control, shared } = this;
    while (!this.poweredOff) {
      const result = vcpu.enter();
      this.room.renew();
      this.drainCoalescedWrites();
      if (result === 0) {
        this.handleExit(shared.getUint32(run.exit_reason, true));
      } else if (result === -EINTR || result === -EAGAIN) {
        // Cleared before the request is read: a kick after this point makes the next KVM_RUN return at once.
        vcpu.immediateExit = false;
        control.countInterruption();
        if (control.rehearsalIsDue) this.rehearse();
        if (control.request === VcpuRequest.SNAPSHOT) this.snapshotPause();
        if (control.request !== VcpuRequest.RUN) return;
      } else if (result !== -EFAULT || !this.faults.resolve()) {
        throw exitError(vcpu, this.memory, result);
      }
    }
  }

  /** Unless it has become serious meanwhile. */
  private rehearse(): void {
    const { control } = this;
    if (control.request === VcpuRequest.RUN) this.captureState();
    control.countRehearsal();
  }

  private snapshotPause(): void {
    const { control } = this;
    this.capture();
    if (control.request !== VcpuRequest.RUN) return;
    control.resumed_us = monotonic_us();
    control.state = VcpuState.RUNNING;
  }

  private handleExit(reason: number): void {
    switch (reason) {
      case ExitReason.IO:
        this.control.countPio();
        this.handlePio();
        return;
      case ExitReason.MMIO:
        this.control.countMmio();
        this.handleMmio();
        return;
      case ExitReason.IRQ_WINDOW_OPEN:
      case ExitReason.INTR:
        return;
      case ExitReason.INTERNAL_ERROR:
        if (this.shared.getUint32(run['internal.suberror'], true) !== InternalError.EMULATION) break;
        if (this.emulationFailures.resolve()) return;
        break;
      case ExitReason.X86_WRMSR:
        if (this.msrWrites === undefined) break;
        this.msrWrites.complete();
        return;
    }
    throw exitError(this.vcpu, this.memory, 0);
  }

  private handlePio(): void {
    const { shared, platform } = this;
    const out = shared.getUint8(run['io.direction']) === IO_OUT;
    const size = shared.getUint8(run['io.size']);
    const port = shared.getUint16(run['io.port'], true);
    const count = shared.getUint32(run['io.count'], true);
    const data = shared.getUint32(run['io.data_offset'], true);
    for (let i = 0; i < count; i++) {
      if (out) platform.pio.write(port, size, shared, data + i * size);
      else platform.pio.read(port, size, shared, data + i * size);
    }
  }

  private handleMmio(): void {
    const { shared, platform } = this;
    const address =
      shared.getUint32(run['mmio.phys_addr'], true) +
      shared.getUint32(run['mmio.phys_addr'] + 4, true) * 2 ** 32;
    const size = shared.getUint32(run['mmio.len'], true);
    if (shared.getUint8(run['mmio.is_write']) === 0) {
      platform.mmio.read(address, size, shared, run['mmio.data']);
    } else if (this.memory.contains(gpa(address), size)) {
      this.writeRam(gpa(address), size);
    } else {
      platform.mmio.write(address, size, shared, run['mmio.data']);
    }
  }

  /**
   * A KVM that emulates kernel code takes write-protected RAM for a device, and leaves the write to us. memcpy moves
   * the 1, 2, 4 or 8 bytes of an access at once, so other vCPUs see all of them or none.
   */
  private writeRam(address: Gpa, size: number): void {
    memcpy(this.memory.hostRangeForWrite(address, size), hvaOffset(this.vcpu.run, run['mmio.data']), size);
  }

  private drainCoalescedWrites(): void {
    if (this.ring.isEmpty) return;
    const { lock } = this.platform.uart.state;
    lock.acquire();
    this.control.countCoalesced(this.ring.drain());
    lock.release();
  }
}
