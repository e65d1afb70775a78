import { DeviceHost } from '../../vmm/devices/device-host.ts';
import { Kvm } from '../../vmm/kvm/kvm.ts';
import { Machine, type MachineConfig, type MachineExit } from '../../vmm/machine.ts';
import { MIB } from '../../vmm/memory/address.ts';
import { benchImage } from './bench-image.ts';

/** A line of the bench guest's console (docs/cli.md, "Bench guest"). */
export interface GuestEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** A machine that runs the bench guest, and what the guest has said. */
export class Guest {
  readonly kvm: Kvm;
  readonly machine: Machine;
  readonly devices: DeviceHost;
  readonly exited: Promise<MachineExit>;
  console = '';

  /** Composes the machine; it has an entropy device unless `config` says otherwise. */
  static async create(config: Partial<MachineConfig> = {}): Promise<Guest> {
    const imagePath = config.imagePath ?? (await benchImage());
    const kvm = Kvm.open();
    const devices = new DeviceHost();
    try {
      const machine = await Machine.create(kvm, {
        name: 'vm',
        cmdline: 'idle',
        memory_bytes: 64 * MIB,
        vcpus: 1,
        devices: [devices.createRng()],
        ...config,
        imagePath,
      });
      return new Guest(kvm, machine, devices);
    } catch (error) {
      await devices.stop();
      kvm.close();
      throw error;
    }
  }

  /** As create(), and runs it to the ready line. */
  static async boot(config: Partial<MachineConfig> = {}): Promise<Guest> {
    const guest = await Guest.create(config);
    guest.machine.start();
    try {
      await guest.until('ready');
    } catch (error) {
      // Its threads would keep the process alive.
      await guest.stop();
      throw error;
    }
    return guest;
  }

  private constructor(kvm: Kvm, machine: Machine, devices: DeviceHost) {
    this.kvm = kvm;
    this.machine = machine;
    this.devices = devices;
    machine.on('console', bytes => {
      this.console += Buffer.from(bytes).toString();
    });
    this.exited = new Promise(resolve => machine.once('exit', resolve));
  }

  /** All events so far, in order. */
  get events(): GuestEvent[] {
    return this.console
      .split('\n')
      .slice(0, -1)
      .filter(line => line.trimStart().startsWith('{'))
      .map(line => JSON.parse(line) as GuestEvent);
  }

  /** The first event of this kind (after `skip` others); rejects when the guest ends without it. */
  async until(kind: string, skip = 0): Promise<GuestEvent> {
    for (;;) {
      const found = this.events.filter(({ event }) => event === kind)[skip];
      if (found !== undefined) return found;
      const more = new Promise<undefined>(resolve => this.machine.once('console', () => resolve(undefined)));
      const exit = await Promise.race([more, this.exited]);
      if (exit === undefined) continue;
      const last = this.events.filter(({ event }) => event === kind)[skip];
      if (last !== undefined) return last;
      throw new Error(`the guest ended (${exit.kind}) without "${kind}": ${this.console.slice(-500)}`);
    }
  }

  async stop(): Promise<void> {
    await this.machine.stop();
    await this.devices.stop();
    this.kvm.close();
  }
}

/** Boots a guest, gives it to `body` and stops it whatever comes. */
export async function withGuest(
  config: Partial<MachineConfig>,
  body: (guest: Guest) => void | Promise<void>,
): Promise<void> {
  const guest = await Guest.boot(config);
  try {
    await body(guest);
  } finally {
    await guest.stop();
  }
}
