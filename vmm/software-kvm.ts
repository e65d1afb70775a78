import { xsaveLayout } from './arch/x86_64/emulate/xsave-layout.ts';
import { MSR_LSTAR, type SystemCallPages } from './arch/x86_64/system-call-entry.ts';
import { hostKind } from './kvm/host-kind.ts';
import type { Kvm } from './kvm/kvm.ts';
import type { Vm } from './kvm/vm.ts';
import { gpa } from './memory/address.ts';
import type { CompletionSetup } from './vcpu/completion.ts';

/** Where a PC has its video memory: RAM here, which memory maps call reserved. */
const systemCallPages: SystemCallPages = { code: gpa(0xa0000), table: gpa(0xa1000) };

/** Prepares a VM on a host whose KVM works in software; undefined on others, which need nothing. */
export function prepareSoftwareKvm(kvm: Kvm, vm: Vm): CompletionSetup | undefined {
  if (hostKind() !== 'software') return undefined;
  if (kvm.check('X86_MSR_FILTER') > 0) vm.exitOnMsrWrite(MSR_LSTAR);
  return { lock: new SharedArrayBuffer(4), xsave: xsaveLayout(kvm.supportedCpuid()), systemCallPages };
}
