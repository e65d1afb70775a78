import { readdirSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { backend } from '../../vmm/ffi/index.ts';
import { version } from '../version.ts';

/** What has to be known about the machine to read a measurement. */
export interface HostFacts {
  readonly cpu: string;
  readonly cpu_count: number;
  readonly kernel: string;
  /** The kernel's modules: a software KVM has another than kvm_intel or kvm_amd. */
  readonly kvm: string;
  readonly node: string;
  readonly ffi: string;
  readonly tsvmm: string;
  /** Processes that wanted to run in the last minute: above cpu_count, times say little. */
  readonly load: number;
}

export function hostFacts(): HostFacts {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cpu_count: processors.length,
    kernel: release(),
    kvm: kvmModules(),
    node: process.version,
    ffi: backend.name,
    tsvmm: version,
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  };
}

function kvmModules(): string {
  try {
    return (
      readdirSync('/sys/module')
        .filter(name => name.startsWith('kvm'))
        .join(' and ') || 'unknown'
    );
  } catch {
    return 'unknown';
  }
}

export const describeHost = (facts: HostFacts): string =>
  `${facts.cpu} (${facts.cpu_count}), Linux ${facts.kernel}, modules ${facts.kvm}, Node.js ${facts.node}, ` +
  `FFI ${facts.ffi}, load ${facts.load}`;
