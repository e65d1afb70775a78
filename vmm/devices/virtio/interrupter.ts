import { ioctlBuffer } from '../../ffi/libc.ts';
import { signalEventFd } from '../../io/eventfd.ts';
import { kvmIrqLevel } from '../../kvm/layouts.ts';
import { KVM_IRQ_LINE } from '../../kvm/vm.ts';

/** Where a device's interrupts go. */
export interface InterruptTarget {
  /** Raises the interrupt through the kernel's irqfd. */
  readonly interruptEventFd: number;
  /** The same line, for threads that would rather call than signal. */
  readonly interruptLine?: { readonly vmFd: number; readonly gsi: number };
}

/**
 * Raises the edge of a device's interrupt line. An eventfd would do, but for a pin of the IOAPIC the kernel hands that to
 * a kworker (kvm_arch_set_irq_inatomic takes MSIs only): a thread more to be woken on every interrupt, which halves
 * the request rate between two guests, and an interrupt that is still on its way when the call has returned.
 */
export class Interrupter {
  private readonly eventFd: number;
  private readonly vmFd: number;
  private readonly high = kvmIrqLevel.allocate();
  private readonly low = kvmIrqLevel.allocate();

  constructor({ interruptEventFd, interruptLine }: InterruptTarget) {
    this.eventFd = interruptEventFd;
    this.vmFd = interruptLine?.vmFd ?? -1;
    this.high.irq = interruptLine?.gsi ?? 0;
    this.high.level = 1;
    this.low.irq = this.high.irq;
  }

  raise(): void {
    if (this.vmFd === -1) {
      signalEventFd(this.eventFd);
      return;
    }
    ioctlBuffer(this.vmFd, KVM_IRQ_LINE, this.high.bytes);
    ioctlBuffer(this.vmFd, KVM_IRQ_LINE, this.low.bytes);
  }
}
