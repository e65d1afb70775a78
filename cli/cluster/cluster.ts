import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { publish } from '../../vmm/events.ts';
import { Teardown } from '../../vmm/teardown.ts';
import type { ResolvedCluster, ResolvedVm } from '../config/resolved.ts';
import { ClusterVm, nameVm, type VmExit } from './cluster-vm.ts';
import { guestCmdline } from './guest-cmdline.ts';
import type { BootFiles, ClusterDisks, ClusterNetworks, ClusterParts } from './parts.ts';
import type { ClusterState, ClusterStats } from './status.ts';

export interface CreateOptions {
  /** Where the consoles are logged, as <vm>.log. */
  readonly logDirectory: string;
  /** Gives up between two phases. */
  readonly signal?: AbortSignal;
}

interface ClusterEvents {
  /** A guest has ended; of the last one, after all others. */
  exit: [ClusterVm, VmExit];
}

/**
 * A cluster that runs in this process. create() goes through phases (boot files, networks, disks, machines), each of
 * which leaves its undoing behind; start() lets the guests run; stop() undoes it all in reverse.
 */
export class RunningCluster extends EventEmitter<ClusterEvents> {
  readonly config: ResolvedCluster;
  readonly vms: ReadonlyMap<string, ClusterVm>;
  private readonly networks: ClusterNetworks;
  private readonly disks: ClusterDisks;
  private readonly teardown: Teardown;
  /** Awaited when a guest has ended, before its machine is taken apart: whoever uses it has to let go of it. */
  beforeVmStops: (vm: string) => Promise<void> = async () => {};
  private currentState: ClusterState = 'starting';
  private stopping: Promise<void> | undefined;

  /** Throws the coded errors of its phases, with nothing left behind; those about a VM name it. */
  static async create(
    config: ResolvedCluster,
    parts: ClusterParts,
    options: CreateOptions,
  ): Promise<RunningCluster> {
    const teardown = new Teardown();
    try {
      return await RunningCluster.compose(config, parts, options, teardown);
    } catch (error) {
      await teardown.run().catch(() => {});
      throw error;
    }
  }

  private static async compose(
    file: ResolvedCluster,
    parts: ClusterParts,
    { logDirectory, signal }: CreateOptions,
    teardown: Teardown,
  ): Promise<RunningCluster> {
    publish('cluster-state', { cluster: file.name, state: 'starting' });
    const bootFiles = new Map<string, BootFiles>();
    for (const vm of file.vms) bootFiles.set(vm.name, await parts.bootFiles(vm));
    const config = withImageDisks(file, bootFiles);
    signal?.throwIfAborted();

    const networks = await parts.openNetworks(config);
    teardown.add(() => networks.close());
    const disks = await parts.openDisks(config);
    teardown.add(() => disks.close());
    signal?.throwIfAborted();

    const createVm = async (vm: ResolvedVm): Promise<ClusterVm> => {
      const boot = bootFiles.get(vm.name) as BootFiles;
      const console = vm.console === 'virtio' ? parts.createConsole() : undefined;
      const balloon = vm.balloon ? parts.createBalloon() : undefined;
      const devices = [
        parts.createRng(),
        ...(console === undefined ? [] : [console]),
        ...(balloon === undefined ? [] : [balloon]),
        ...(await disks.createDisks(vm)),
        ...(await networks.createNics(vm)),
      ];
      const machine = await parts.createMachine({
        name: vm.name,
        bootFile: boot.kernel,
        ...(boot.initrd === undefined ? {} : { initrd: boot.initrd }),
        firmwareTables: vm.guest.kind === 'kernel' || boot.initrd !== undefined,
        cmdline: guestCmdline(vm, boot.cmdline),
        memory_bytes: vm.memory_bytes,
        vcpus: vm.vcpus,
        devices,
        ...(console === undefined ? {} : { console: console.console }),
      });
      teardown.add(() => machine.stop());
      const logPath = join(logDirectory, `${vm.name}.log`);
      return new ClusterVm(config.name, vm, { machine, balloon: balloon?.balloon }, logPath);
    };
    // Side by side, since most of it is waiting for threads; but all have settled before anything is undone.
    const settled = await Promise.allSettled(
      config.vms.map(vm => createVm(vm).catch(error => Promise.reject(nameVm(vm.name, error)))),
    );
    const vms = settled.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []));
    teardown.add(() => stopAll(vms));
    for (const result of settled) if (result.status === 'rejected') throw result.reason;
    return new RunningCluster(config, vms, { networks, disks }, teardown);
  }

  private constructor(
    config: ResolvedCluster,
    vms: readonly ClusterVm[],
    { networks, disks }: { networks: ClusterNetworks; disks: ClusterDisks },
    teardown: Teardown,
  ) {
    super();
    this.config = config;
    this.vms = new Map(vms.map(vm => [vm.name, vm]));
    this.networks = networks;
    this.disks = disks;
    this.teardown = teardown;
    for (const vm of vms) vm.once('exit', exit => this.guestEnded(vm, exit));
  }

  get state(): ClusterState {
    return this.currentState;
  }

  /** Throws TSVMM_E_VM_NOT_FOUND. */
  vm(name: string): ClusterVm {
    const vm = this.vms.get(name);
    if (vm !== undefined) return vm;
    throw new TsvmmError('TSVMM_E_VM_NOT_FOUND', `the cluster ${this.config.name} has no VM "${name}"`, {
      hint: `its VMs are: ${[...this.vms.keys()].join(', ')}`,
    });
  }

  /** Lets all guests run, for the first time. `booted` says that they go on from a snapshot. */
  start({ booted = false } = {}): void {
    for (const vm of this.vms.values()) vm.start({ booted });
    this.setState('running');
  }

  /** Resolves when every guest has booted; rejects with its error when one ended before, or TSVMM_E_TIMEOUT. */
  async booted(timeout_ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.bootTimeout(timeout_ms)), timeout_ms);
    });
    try {
      await Promise.race([late, Promise.all([...this.vms.values()].map(bootOf))]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when no vCPU of the cluster runs. */
  async pause(): Promise<void> {
    this.requireState(['running', 'paused'], 'paused');
    await Promise.all([...this.vms.values()].map(vm => vm.pause()));
    if (this.currentState === 'running') this.setState('paused');
  }

  resume(): void {
    this.requireState(['running', 'paused'], 'resumed');
    for (const vm of this.vms.values()) vm.resume();
    if (this.currentState === 'paused') this.setState('running');
  }

  /** Lets the guests that can power themselves off do so, for `grace_ms` at most. stop() is still due. */
  async powerOff(grace_ms: number): Promise<void> {
    if (this.currentState !== 'running') return;
    await Promise.all([...this.vms.values()].map(vm => vm.powerOff(grace_ms)));
  }

  /** Ends all guests and gives everything back. Idempotent; allowed in every state. */
  stop(): Promise<void> {
    this.stopping ??= this.tearDown();
    return this.stopping;
  }

  /** Counters of networks and disks, for `tsvmm stats`. */
  get deviceStats(): Pick<ClusterStats, 'networks' | 'disks'> {
    return { networks: this.networks.stats(), disks: this.disks.stats() };
  }

  private async tearDown(): Promise<void> {
    this.setState('stopping');
    try {
      await this.teardown.run();
    } finally {
      this.setState('stopped');
    }
  }

  /** What the guest held is given back at once; the others go on. */
  private async guestEnded(vm: ClusterVm, exit: VmExit): Promise<void> {
    await this.beforeVmStops(vm.name).catch(() => {});
    await vm.stop().catch(() => {});
    const isLast = [...this.vms.values()].every(other => other.exit !== undefined);
    if (isLast && this.stopping === undefined) this.currentState = 'ended';
    this.emit('exit', vm, exit);
  }

  private requireState(allowed: readonly ClusterState[], what: string): void {
    if (allowed.includes(this.currentState)) return;
    throw new TsvmmError(
      'TSVMM_E_CONFLICT',
      `the cluster ${this.config.name} cannot be ${what}: it is ${this.currentState}`,
      { hint: 'see tsvmm ps' },
    );
  }

  private setState(state: Exclude<ClusterState, 'ended'>): void {
    this.currentState = state;
    publish('cluster-state', { cluster: this.config.name, state });
  }

  private bootTimeout(timeout_ms: number): TsvmmError {
    const late = [...this.vms.values()].filter(vm => vm.boot_ms === undefined).map(vm => vm.name);
    const message = `not booted within ${timeout_ms / 1000} s: ${late.join(', ')}`;
    return new TsvmmError('TSVMM_E_TIMEOUT', message, { hint: 'allow more time with --timeout S' });
  }
}

/** The disk of a VM's image is its first. */
const withImageDisks = (
  cluster: ResolvedCluster,
  bootFiles: ReadonlyMap<string, BootFiles>,
): ResolvedCluster => ({
  ...cluster,
  vms: cluster.vms.map(vm => {
    const disk = bootFiles.get(vm.name)?.disk;
    return disk === undefined ? vm : { ...vm, disks: [disk, ...vm.disks] };
  }),
});

const stopAll = (vms: readonly ClusterVm[]) => Promise.all(vms.map(vm => vm.stop())).then(() => {});

function bootOf(vm: ClusterVm): Promise<void> {
  if (vm.boot_ms !== undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const fail = ({ error, reason }: VmExit) =>
      reject(
        error ??
          new TsvmmError(
            'TSVMM_E_GUEST_CRASH',
            `${vm.name}: the guest ended before it had booted (${reason})`,
          ),
      );
    if (vm.exit !== undefined) return fail(vm.exit);
    vm.once('ready', resolve);
    vm.once('exit', fail);
  });
}
