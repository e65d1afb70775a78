import { DeviceHost } from '../../../vmm/devices/device-host.ts';
import { Interrupter } from '../../../vmm/devices/virtio/interrupter.ts';
import type { VirtioSlot } from '../../../vmm/devices/virtio/slot.ts';
import { backend } from '../../../vmm/ffi/index.ts';
import { EPOLL, epollControl, epollCreate, epollWait } from '../../../vmm/ffi/libc.ts';
import { epollEvent } from '../../../vmm/io/event-loop.ts';
import { closeEventFd, createEventFd, drainEventFd } from '../../../vmm/io/eventfd.ts';
import { Kvm } from '../../../vmm/kvm/kvm.ts';
import { Machine, type MachineExit } from '../../../vmm/machine.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { VcpuHandle } from '../../../vmm/vcpu/vcpu-handle.ts';
import { duration_ns, type Measurement, measure, parseMeasurements } from './measurement.ts';

/** Where native/echo-guest.S answers. */
const ANSWER_PORT = 0xe8;
const MEMORY_BYTES = 64 * MIB;
const SETTLE_MS = 20;
const ANSWER_LIMIT_MS = 5000;
const KICK_LOST_NS = 5e9;
const FFI_CALLS_PER_SAMPLE = 1000;

const pause = (time_ms: number) => new Promise(resolve => setTimeout(resolve, time_ms));

/** A busy wait, as the C program sleeps between its samples: too short for a timer. */
function wait(time_ns: number): void {
  const until = process.hrtime.bigint() + BigInt(time_ns);
  while (process.hrtime.bigint() < until);
}

/** A signalled eventfd, or the level of the line set by call. */
export type InterruptWay = 'irqfd' | 'irqline';

/** tsvmm itself, as "bench exits" measures it: every operation on a machine of its own. */
export class Subject {
  private readonly kvm = Kvm.open();
  private readonly devices = new DeviceHost();

  /** What the bench guest measures from inside. */
  async guest(image: string, samples: number): Promise<Measurement[]> {
    const words = `exits samples=${samples} stat=0`;
    return this.withMachine(image, words, async (_machine, _thread, until) =>
      parseMeasurements(await until('"event":"measured"')),
    );
  }

  /** From a kick until the vCPU's thread has come out of KVM_RUN. */
  async kick(image: string, words: string, count: number): Promise<Measurement> {
    return this.withMachine(image, words, async (_machine, thread, until) => {
      await until('"event":"ready"');
      await pause(SETTLE_MS);
      return measure('kick', count, () => {
        const before = thread.counters.interruptions;
        const time_ns = duration_ns(() => {
          const started = process.hrtime.bigint();
          thread.kick();
          while (thread.counters.interruptions === before) {
            if (process.hrtime.bigint() - started > KICK_LOST_NS) throw new Error('a kick was lost');
          }
        });
        wait(50_000);
        return time_ns;
      });
    });
  }

  /** From an interrupt to a sleeping guest and back by an ioeventfd, which we sleep for. */
  async interrupt(image: string, way: InterruptWay, count: number): Promise<Measurement> {
    return this.withMachine(image, '', async (machine, _thread, until) => {
      await until('"event":"ready"');
      const answer = createEventFd();
      const epoll = epollCreate(0);
      const event = epollEvent.allocate();
      event.events = EPOLL.IN;
      epollControl(epoll, EPOLL.CTL_ADD, answer, event.bytes);
      machine.vm.addIoEventFd(answer, { address: ANSWER_PORT, length: 1, port: true });
      const { attachment } = machine.slots[0] as VirtioSlot;
      // Without the line, the descriptor is what it has.
      const { interruptEventFd } = attachment;
      const interrupter = new Interrupter(way === 'irqfd' ? { interruptEventFd } : attachment);
      await pause(SETTLE_MS);
      const result = measure(`${way}_round_trip`, count, () => {
        const time_ns = duration_ns(() => {
          interrupter.raise();
          if (epollWait(epoll, event.bytes, 1, ANSWER_LIMIT_MS) !== 1)
            throw new Error('no answer of the guest');
          drainEventFd(answer);
        });
        wait(50_000);
        return time_ns;
      });
      closeEventFd(epoll);
      closeEventFd(answer);
      return result;
    });
  }

  /** KVM_RUN that comes back at once. */
  async enter(image: string, count: number): Promise<Measurement> {
    const machine = await this.create(image, 'halt', []);
    try {
      const [vcpu] = machine.vcpus;
      if (vcpu === undefined) throw new Error('the machine has no vCPU');
      // What it prepares, it does beside us, and to the same kvm_run.
      await machine.threads[0]?.ready();
      vcpu.immediateExit = true;
      return measure('enter', count, () => duration_ns(() => vcpu.enter()));
    } finally {
      await machine.stop();
    }
  }

  /** A call of a C function that does next to nothing. */
  ffiCall(count: number): Measurement {
    const abs = backend.bind('abs', 'i32', ['i32']);
    return measure('ffi_call', count, () => {
      const total_ns = duration_ns(() => {
        for (let i = 0; i < FFI_CALLS_PER_SAMPLE; i++) abs(i);
      });
      return total_ns / FFI_CALLS_PER_SAMPLE;
    });
  }

  async close(): Promise<void> {
    await this.devices.stop();
    this.kvm.close();
  }

  private create(image: string, cmdline: string, threads: readonly VcpuHandle[]): Promise<Machine> {
    return Machine.create(this.kvm, {
      name: 'bench',
      imagePath: image,
      cmdline,
      memory_bytes: MEMORY_BYTES,
      vcpus: 1,
      devices: [this.devices.createRng()],
      threads,
    });
  }

  /** `until` resolves with the console so far once it contains what is asked for. */
  private async withMachine<Result>(
    image: string,
    cmdline: string,
    work: (machine: Machine, thread: VcpuHandle, until: (text: string) => Promise<string>) => Promise<Result>,
  ): Promise<Result> {
    const thread = new VcpuHandle();
    const machine = await this.create(image, cmdline, [thread]);
    let text = '';
    machine.on('console', bytes => {
      text += Buffer.from(bytes).toString();
    });
    const exited = new Promise<MachineExit>(resolve => machine.once('exit', resolve));
    const until = async (wanted: string): Promise<string> => {
      while (!text.includes(wanted)) {
        const more = new Promise<undefined>(resolve => machine.once('console', () => resolve(undefined)));
        const exit = await Promise.race([more, exited]);
        if (exit?.kind === 'error') throw exit.error;
        if (exit !== undefined && !text.includes(wanted)) throw new Error(`the guest ended: ${text}`);
      }
      return text;
    };
    try {
      machine.start();
      return await work(machine, thread, until);
    } finally {
      await machine.stop();
    }
  }
}
