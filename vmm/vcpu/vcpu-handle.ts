import { EventEmitter } from 'node:events';
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import type { PowerAction } from '../devices/power.ts';
import { deserializeError, TsvmmError } from '../errors.ts';
import { startThread } from '../io/thread.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import { VcpuControlBlock, type VcpuCounters, VcpuRequest, VcpuState } from './control-block.ts';
import { kickThread } from './kick.ts';
import type { VcpuMessage, VcpuSetup, VcpuThreadData } from './vcpu-thread.ts';

interface VcpuEvents {
  output: [];
  power: [PowerAction];
  /** The guest runs on, but something of it will not work. */
  warning: [string];
  error: [TsvmmError];
}

/** The control side of a vCPU's thread. Requests take effect without loss, wherever the thread is. */
export class VcpuHandle extends EventEmitter<VcpuEvents> {
  readonly control = new VcpuControlBlock(VcpuControlBlock.allocate());
  private readonly worker: Worker;
  private readonly port: MessagePort;
  private readonly exited: Promise<void>;
  private readonly failed: Promise<TsvmmError>;
  private vcpu: Vcpu | undefined;

  /** Starts the thread, which takes a while; assign() need not wait for it. */
  constructor() {
    super();
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    const data: VcpuThreadData = { control: this.control.buffer, port: port2 };
    this.worker = startThread(import.meta.url, './vcpu-thread', { workerData: data, transferList: [port2] });
    this.failed = new Promise(resolve => {
      this.worker.on('error', cause =>
        resolve(new TsvmmError('TSVMM_E_WORKER', 'a vCPU thread failed', { cause })),
      );
    });
    this.exited = new Promise(resolve => this.worker.once('exit', () => resolve()));
  }

  /** Gives the thread its vCPU, for which it prepares at once; once. */
  assign(vcpu: Vcpu, setup: Omit<VcpuSetup, 'vcpu'>): void {
    this.vcpu = vcpu;
    this.port.postMessage({ ...setup, vcpu: vcpu.descriptor } satisfies VcpuSetup);
    this.control.request = VcpuRequest.PARK;
  }

  /** Resolves once the thread has loaded its code, or has failed to. */
  async started(): Promise<void> {
    await Promise.race([this.control.stateOtherThan(VcpuState.STARTING), this.exited]);
  }

  /** Resolves once the thread waits for run(), after assign(), or has failed: a guest that is let run then runs at once. */
  async ready(): Promise<void> {
    await this.started();
    await Promise.race([this.control.stateOtherThan(VcpuState.LOADED), this.exited]);
  }

  /** Lets events come from now on, and those that came before. */
  listen(): void {
    this.port.on('message', (message: VcpuMessage) => this.dispatch(message));
    void this.failed.then(error => this.emit('error', error));
  }

  run(): void {
    this.control.request = VcpuRequest.RUN;
  }

  /** Asks the vCPU to leave the guest; it has when parked() resolves. */
  park(): void {
    this.control.request = VcpuRequest.PARK;
    this.kick();
  }

  async parked(): Promise<void> {
    await this.control.stateOtherThan(VcpuState.RUNNING);
  }

  /** Asks the vCPU to stop and to capture its state, for the pause of a snapshot; run() ends that. */
  snapshot(): void {
    this.control.request = VcpuRequest.SNAPSHOT;
    this.kick();
  }

  /**
   * Has the vCPU's thread do what it will do for a snapshot, and go on: code and data that were not used for long are then
   * at hand in the pause. waitForRehearsal() of the control block waits until it has.
   */
  rehearse(): void {
    this.control.wantRehearsal();
    this.kick();
  }

  /** Makes KVM_RUN return, now or when it is next entered. */
  kick(): void {
    if (this.vcpu === undefined) return;
    this.vcpu.immediateExit = true;
    if (this.control.thread !== 0) kickThread(this.control.thread);
  }

  /** Ends the thread. Idempotent; afterwards the vCPU is not touched any more. */
  async end(): Promise<void> {
    this.control.request = VcpuRequest.END;
    this.kick();
    this.vcpu = undefined;
    await this.exited;
    this.port.close();
  }

  get counters(): VcpuCounters {
    return this.control.counters;
  }

  private dispatch(message: VcpuMessage): void {
    switch (message.kind) {
      case 'output':
        this.emit('output');
        return;
      case 'power':
        this.emit('power', message.action);
        return;
      case 'warning':
        this.emit('warning', message.message);
        return;
      case 'error':
        this.emit('error', deserializeError(message.error));
        return;
    }
  }
}
