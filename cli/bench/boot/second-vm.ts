import { DeviceHost } from '../../../vmm/devices/device-host.ts';
import { Kvm } from '../../../vmm/kvm/kvm.ts';
import { Machine } from '../../../vmm/machine.ts';
import { VcpuHandle } from '../../../vmm/vcpu/vcpu-handle.ts';
import { residentMemory } from '../guests/resident.ts';
import type { Contestant, Sample } from '../harness.ts';

/** A control process with one VM in it, to which others come. */
export class ControlProcess {
  private readonly kvm = Kvm.open();
  private readonly devices = new DeviceHost();
  private readonly image: string;
  private readonly memory_bytes: number;
  private first: Machine | undefined;

  constructor(image: string, memory_bytes: number) {
    this.image = image;
    this.memory_bytes = memory_bytes;
  }

  /** Starts the first VM, which idles from then on. */
  async start(): Promise<void> {
    this.first = await this.create([]);
    await this.boot(this.first);
  }

  /** One more VM, to its ready line. Without `threadAhead` its vCPU thread starts with it. */
  contestant(name: string, { threadAhead }: { threadAhead: boolean }): Contestant {
    return {
      name,
      measure: async () => {
        const before = residentMemory('self', this.memory_bytes);
        const threads = threadAhead ? [new VcpuHandle()] : [];
        for (const thread of threads) await thread.started();
        const started = performance.now();
        const machine = await this.create(threads);
        try {
          const created = performance.now();
          await this.boot(machine);
          const ready = performance.now();
          const { overhead_mib, private_mib } = residentMemory('self', this.memory_bytes);
          return {
            ready_ms: ready - started,
            create_ms: created - started,
            guest_ms: ready - created,
            overhead_mib: overhead_mib - before.overhead_mib,
            private_mib: private_mib - before.private_mib,
          } satisfies Sample;
        } finally {
          await machine.stop();
        }
      },
    };
  }

  async close(): Promise<void> {
    await this.first?.stop();
    await this.devices.stop();
    this.kvm.close();
  }

  private create(threads: readonly VcpuHandle[]): Promise<Machine> {
    return Machine.create(this.kvm, {
      name: 'bench',
      imagePath: this.image,
      cmdline: 'idle stat=0',
      memory_bytes: this.memory_bytes,
      vcpus: 1,
      devices: [this.devices.createRng()],
      threads,
    });
  }

  private boot(machine: Machine): Promise<void> {
    let text = '';
    return new Promise((resolve, reject) => {
      machine.on('console', bytes => {
        text += Buffer.from(bytes).toString();
        if (text.includes('"event":"ready"')) resolve();
      });
      machine.on('exit', exit =>
        reject(exit.kind === 'error' ? exit.error : new Error(`${exit.kind}: ${text}`)),
      );
      machine.start();
    });
  }
}
