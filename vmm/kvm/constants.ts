/** Numbers of linux/kvm.h that are not derived from a layout. */

export const KVM_API_VERSION = 12;

export const Capability = {
  IRQCHIP: 0,
  USER_MEMORY: 3,
  EXT_CPUID: 7,
  NR_VCPUS: 9,
  MP_STATE: 14,
  COALESCED_MMIO: 15,
  IRQFD: 32,
  PIT2: 33,
  IOEVENTFD: 36,
  ADJUST_CLOCK: 39,
  VCPU_EVENTS: 41,
  XSAVE: 55,
  XCRS: 56,
  GET_TSC_KHZ: 61,
  MAX_VCPUS: 66,
  TSC_DEADLINE_TIMER: 72,
  SYNC_REGS: 74,
  READONLY_MEM: 81,
  IMMEDIATE_EXIT: 136,
  COALESCED_PIO: 162,
  X86_USER_SPACE_MSR: 188,
  X86_MSR_FILTER: 189,
} as const;

export const ExitReason = {
  UNKNOWN: 0,
  EXCEPTION: 1,
  IO: 2,
  HYPERCALL: 3,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  IRQ_WINDOW_OPEN: 7,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
  IOAPIC_EOI: 26,
  X86_WRMSR: 30,
  MEMORY_FAULT: 39,
} as const;

export const InternalError = { EMULATION: 1, SIMUL_EX: 2, DELIVERY_EV: 3, UNEXPECTED_EXIT: 4 } as const;

export const SystemEvent = { SHUTDOWN: 1, RESET: 2, CRASH: 3 } as const;

export const IO_OUT = 1;

/** KVM_MSR_EXIT_REASON_FILTER: exit when a filter denies an access. */
export const MSR_EXIT_REASON_FILTER = 4;
/** KVM_MSR_FILTER_WRITE */
export const MSR_FILTER_WRITE = 2;

/** kvm_valid_regs bits, KVM_CAP_SYNC_REGS. */
export const SyncRegs = { REGS: 1, SREGS: 2, EVENTS: 4 } as const;

export const IOEVENTFD_FLAG = { DATAMATCH: 1, PIO: 2, DEASSIGN: 4 } as const;
export const IRQFD_FLAG_DEASSIGN = 1;

/** Where the ring of coalesced writes lies in a vCPU's shared pages (KVM_CAP_COALESCED_MMIO), in pages. */
export const COALESCED_RING_PAGE = 2;
