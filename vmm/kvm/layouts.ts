/** Structs of linux/kvm.h and asm/kvm.h (x86), in the order of the KVM API document. Names are the headers'. */
import { bytes, elements, nested, struct, u8, u16, u32, u64, usize } from '../ffi/struct.ts';

export const kvmUserspaceMemoryRegion = struct('kvm_userspace_memory_region', {
  slot: u32,
  flags: u32,
  guest_phys_addr: usize,
  memory_size: usize,
  userspace_addr: usize,
});

export const kvmDirtyLog = struct('kvm_dirty_log', {
  slot: u32,
  padding1: u32,
  dirty_bitmap: usize,
});

export const kvmRegs = struct('kvm_regs', {
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  rbp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
});

export const kvmSegment = struct('kvm_segment', {
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: u8,
});

export const kvmDtable = struct('kvm_dtable', { base: u64, limit: u16, padding: bytes(6) });

export const kvmSregs = struct('kvm_sregs', {
  cs: nested(kvmSegment),
  ds: nested(kvmSegment),
  es: nested(kvmSegment),
  fs: nested(kvmSegment),
  gs: nested(kvmSegment),
  ss: nested(kvmSegment),
  tr: nested(kvmSegment),
  ldt: nested(kvmSegment),
  gdt: nested(kvmDtable),
  idt: nested(kvmDtable),
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  apic_base: u64,
  interrupt_bitmap: bytes(32),
});

/**
 * What the kernel shares with us about a vCPU's run. The anonymous union of exit data is flattened: its members keep
 * their C paths as names.
 */
export const kvmRun = struct(
  'kvm_run',
  {
    request_interrupt_window: u8,
    immediate_exit: u8,
    exit_reason: u32,
    ready_for_interrupt_injection: u8,
    if_flag: u8,
    flags: u16,
    cr8: u64,
    apic_base: u64,
    'io.direction': u8,
    'io.size': u8,
    'io.port': u16,
    'io.count': u32,
    'io.data_offset': usize,
    'mmio.phys_addr': usize,
    'mmio.data': bytes(8),
    'mmio.len': u32,
    'mmio.is_write': u8,
    'fail_entry.hardware_entry_failure_reason': u64,
    'internal.suberror': u32,
    'internal.ndata': u32,
    'emulation_failure.flags': usize,
    'emulation_failure.insn_size': u8,
    'emulation_failure.insn_bytes': bytes(15),
    'system_event.type': u32,
    'msr.error': u8,
    'msr.reason': u32,
    'msr.index': u32,
    'msr.data': u64,
    kvm_valid_regs: u64,
    kvm_dirty_regs: u64,
    's.regs.regs': nested(kvmRegs),
    's.regs.sregs': nested(kvmSregs),
  },
  {
    exit_reason: 8,
    'io.direction': 32,
    'mmio.phys_addr': 32,
    'fail_entry.hardware_entry_failure_reason': 32,
    'internal.suberror': 32,
    'emulation_failure.flags': 40,
    'system_event.type': 32,
    'msr.error': 32,
    'msr.reason': 40,
    'msr.index': 44,
    'msr.data': 48,
    kvm_valid_regs: 288,
    size: 2352,
  },
);

export const kvmTranslation = struct('kvm_translation', {
  linear_address: u64,
  physical_address: usize,
  valid: u8,
  writeable: u8,
  usermode: u8,
  pad: bytes(5),
});

export const kvmCpuidEntry2 = struct('kvm_cpuid_entry2', {
  function: u32,
  index: u32,
  flags: u32,
  eax: u32,
  ebx: u32,
  ecx: u32,
  edx: u32,
  padding: bytes(12),
});
export const kvmCpuid2 = struct('kvm_cpuid2', { nent: u32, padding: u32 });

export const kvmMsrEntry = struct('kvm_msr_entry', { index: u32, reserved: u32, data: u64 });
export const kvmMsrs = struct('kvm_msrs', { nmsrs: u32, pad: u32 });
export const kvmMsrList = struct('kvm_msr_list', { nmsrs: u32 });

export const kvmIrqLevel = struct('kvm_irq_level', { irq: u32, level: u32 });
export const kvmIrqfd = struct('kvm_irqfd', {
  fd: u32,
  gsi: u32,
  flags: u32,
  resamplefd: u32,
  pad: bytes(16),
});
export const kvmIoeventfd = struct('kvm_ioeventfd', {
  datamatch: u64,
  addr: usize,
  len: u32,
  fd: u32,
  flags: u32,
  pad: bytes(36),
});
export const kvmCoalescedMmioZone = struct('kvm_coalesced_mmio_zone', { addr: usize, size: u32, pio: u32 });
export const kvmCoalescedMmio = struct('kvm_coalesced_mmio', {
  phys_addr: usize,
  len: u32,
  pio: u32,
  data: bytes(8),
});
export const kvmCoalescedMmioRing = struct('kvm_coalesced_mmio_ring', { first: u32, last: u32 });
export const kvmPitConfig = struct('kvm_pit_config', { flags: u32, pad: bytes(60) }, { size: 64 });
export const kvmEnableCap = struct('kvm_enable_cap', {
  cap: u32,
  flags: u32,
  args: bytes(32),
  pad: bytes(64),
});

export const kvmMsrFilterRange = struct('kvm_msr_filter_range', {
  flags: u32,
  nmsrs: u32,
  base: u32,
  bitmap: usize,
});
/** KVM_MSR_FILTER_MAX_RANGES */
export const MSR_FILTER_RANGES = 16;
export const kvmMsrFilter = struct('kvm_msr_filter', {
  flags: u32,
  ranges: elements(kvmMsrFilterRange, MSR_FILTER_RANGES),
});

export const kvmMpState = struct('kvm_mp_state', { mp_state: u32 });
export const kvmVcpuEvents = struct('kvm_vcpu_events', {
  exception: bytes(8),
  interrupt: bytes(4),
  nmi: bytes(4),
  sipi_vector: u32,
  flags: u32,
  smi: bytes(4),
  triple_fault: bytes(1),
  reserved: bytes(26),
  exception_has_payload: u8,
  exception_payload: u64,
});
export const kvmLapicState = struct('kvm_lapic_state', { regs: bytes(1024) });
export const kvmDebugregs = struct('kvm_debugregs', {
  db: bytes(32),
  dr6: u64,
  dr7: u64,
  flags: u64,
  reserved: bytes(72),
});
export const kvmXsave = struct('kvm_xsave', { region: bytes(4096) });
export const kvmXcrs = struct(
  'kvm_xcrs',
  { nr_xcrs: u32, flags: u32, xcrs: bytes(256), padding: bytes(128) },
  { size: 392 },
);
export const kvmIrqchip = struct('kvm_irqchip', { chip_id: u32, pad: u32, chip: bytes(512) });
export const kvmPitState2 = struct(
  'kvm_pit_state2',
  { channels: bytes(72), flags: u32, reserved: bytes(36) },
  { size: 112 },
);
export const kvmClockData = struct('kvm_clock_data', {
  clock: u64,
  flags: u32,
  pad0: u32,
  realtime: u64,
  host_tsc: u64,
  pad: bytes(16),
});
