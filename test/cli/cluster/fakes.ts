import { EventEmitter } from 'node:events';
import type { ClusterMachine, ClusterParts, MachineRecipe } from '../../../cli/cluster/parts.ts';
import { parseCluster } from '../../../cli/config/load.ts';
import type { ResolvedCluster } from '../../../cli/config/resolved.ts';
import type { DevicePlug } from '../../../vmm/devices/plug.ts';
import { BalloonEnd } from '../../../vmm/devices/virtio/balloon/balloon-end.ts';
import { ConsoleEnd } from '../../../vmm/devices/virtio/console/console-end.ts';
import type { MachineEvents, MachineState } from '../../../vmm/machine.ts';

/** A machine without a guest: the test says what the guest would. */
export class FakeMachine extends EventEmitter<MachineEvents> implements ClusterMachine {
  readonly recipe: MachineRecipe;
  readonly stats = { vcpus: [], consoleDroppedBytes: 0 };
  state: MachineState = 'created';
  typed = '';
  /** What consoleInput() answers. */
  takesInput = true;
  /** What pressPowerButton() answers. */
  hasPowerButton = false;
  powerButtonUnseen = false;
  private readonly log: (what: string) => void;

  constructor(recipe: MachineRecipe, log: (what: string) => void) {
    super();
    this.recipe = recipe;
    this.log = log;
  }

  start(): void {
    this.state = 'running';
    this.log(`start ${this.recipe.name}`);
  }
  async pause(): Promise<void> {
    this.state = 'paused';
  }
  resume(): void {
    this.state = 'running';
  }
  async stop(): Promise<void> {
    if (this.state === 'stopped') return;
    this.state = 'stopped';
    this.log(`stop ${this.recipe.name}`);
  }
  pressPowerButton(): boolean {
    this.log(`press ${this.recipe.name}`);
    return this.hasPowerButton;
  }
  consoleInput(bytes: Uint8Array): boolean {
    this.typed += Buffer.from(bytes).toString();
    return this.takesInput;
  }
  resizeConsole(columns: number, rows: number): void {
    this.log(`size ${this.recipe.name} ${columns}x${rows}`);
  }

  /** The guest writes to its console. */
  say(text: string): void {
    this.emit('console', Buffer.from(text));
  }
}

const plug = (name: string): DevicePlug => ({
  name,
  model: { deviceId: 4, features: 0n, queueSizes: [], config: new Uint8Array(0) },
  attach: async () => {},
  detach: async () => {},
});

/** Parts that note what happens to them, in order. */
export class FakeParts implements ClusterParts {
  readonly machines = new Map<string, FakeMachine>();
  readonly log: string[] = [];
  /** Name of a VM whose machine cannot be created, and why. */
  broken: { readonly vm: string; readonly error: Error } | undefined;

  async createMachine(recipe: MachineRecipe): Promise<FakeMachine> {
    if (this.broken?.vm === recipe.name) throw this.broken.error;
    this.log.push(`create ${recipe.name}`);
    const machine = new FakeMachine(recipe, what => this.log.push(what));
    this.machines.set(recipe.name, machine);
    return machine;
  }
  createRng = () => plug('rng');
  createBalloon = () => ({ ...plug('balloon'), balloon: new BalloonEnd(() => {}) });
  createConsole = () => ({ ...plug('console'), console: new ConsoleEnd(() => {}) });
  async openNetworks() {
    this.log.push('open networks');
    return {
      createNics: async (vm: { nets: readonly unknown[] }) => vm.nets.map((_, index) => plug(`net${index}`)),
      stats: () => ({ lan: { frames: 7 } }),
      close: async () => void this.log.push('close networks'),
    };
  }
  async openDisks() {
    this.log.push('open disks');
    return {
      createDisks: async (vm: { disks: readonly unknown[] }) =>
        vm.disks.map((_, index) => plug(`disk${index}`)),
      stats: () => ({}),
      close: async () => void this.log.push('close disks'),
    };
  }
  bootFiles: ClusterParts['bootFiles'] = async () => ({ kernel: '/images/guest.elf' });

  machine(name: string): FakeMachine {
    return this.machines.get(name) as FakeMachine;
  }
}

export const pairConfig = (): ResolvedCluster =>
  parseCluster(
    '/nowhere/pair.yaml',
    `
vms:
  server:
    args: [tcp-server, port=7]
    nets: [{ network: lan, ip: 10.0.0.1/24 }, { network: lan, ip: 10.1.0.1/16 }]
    disks: [{ size: 1M }]
  client: { vcpus: 2, balloon: true }
networks: { lan: }`,
  );
