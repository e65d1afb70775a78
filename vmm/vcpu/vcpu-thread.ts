/**
 * A vCPU's thread. It can be started before its VM exists: it loads its code, then sleeps until control gives it a
 * vCPU (VcpuSetup), prepares for that, and sleeps until it is asked to run.
 */
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { XsaveArea } from '../arch/x86_64/xsave-area.ts';
import { createPlatform, type PlatformDescriptor } from '../devices/platform.ts';
import type { PowerAction } from '../devices/power.ts';
import { SerialState } from '../devices/serial/state.ts';
import { type SerializedError, serializeError } from '../errors.ts';
import { gettid } from '../ffi/libc.ts';
import { Vcpu, type VcpuDescriptor } from '../kvm/vcpu.ts';
import { Vm } from '../kvm/vm.ts';
import type { Hva } from '../memory/address.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import type { RamDescriptor } from '../memory/ram.ts';
import type { CompletionSetup } from './completion.ts';
import { VcpuControlBlock, VcpuRequest, VcpuState } from './control-block.ts';
import { EmulationFailures } from './emulation-failures.ts';
import { FaultResolver } from './fault-resolver.ts';
import { RoomBudget } from './room-budget.ts';
import { RunLoop } from './run-loop.ts';
import { VcpuSlab } from './slab.ts';

export interface VcpuThreadData {
  readonly control: SharedArrayBuffer;
  readonly port: MessagePort;
}

export interface VcpuSetup {
  readonly vcpu: VcpuDescriptor;
  readonly vmFd: number;
  readonly ram: RamDescriptor;
  readonly platform: PlatformDescriptor;
  /** Room for the vCPU's state (SLAB_SIZE bytes). */
  readonly slab: Hva;
  readonly xsave: XsaveArea | undefined;
  /** On a KVM that works in software: what completing its instructions takes. */
  readonly completion?: CompletionSetup;
}

export type VcpuMessage =
  | { readonly kind: 'output' }
  | { readonly kind: 'power'; readonly action: PowerAction }
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'error'; readonly error: SerializedError };

const { control: controlBuffer, port } = workerData as VcpuThreadData;
const control = new VcpuControlBlock(controlBuffer);
const post = (message: VcpuMessage): void => port.postMessage(message);

async function live(setup: VcpuSetup): Promise<void> {
  const { vcpu: vcpuDescriptor, vmFd, ram, platform: descriptor, slab, xsave } = setup;
  const memory = new GuestMemory(ram);
  const { output } = new SerialState(descriptor.serial);
  const room = new RoomBudget(control, output);
  const platform = createPlatform(descriptor, new Vm(vmFd, vcpuDescriptor.runLength), memory, {
    outputReady: () => {
      if (output.claimSignal()) post({ kind: 'output' });
    },
    awaitRoom: () => room.spend(),
    power: action => {
      loop.powerOff();
      post({ kind: 'power', action });
    },
  });
  const vcpu = new Vcpu(vcpuDescriptor);
  const faults = new FaultResolver(vcpu, memory, ram, xsave);
  const completion = setup.completion && (await loadCompletion(setup.completion, vcpu, memory));
  const loop = new RunLoop(
    vcpu,
    control,
    platform,
    room,
    memory,
    new VcpuSlab(slab),
    faults,
    new EmulationFailures(vcpu, control, completion?.emulator, faults),
    completion?.msrWrites,
  );
  loop.live();
}

/** Most hosts never need it. */
async function loadCompletion(setup: CompletionSetup, vcpu: Vcpu, memory: GuestMemory) {
  const { createCompletion } = await import('./completion.ts');
  return createCompletion(setup, vcpu, memory, message => post({ kind: 'warning', message }));
}

control.thread = gettid();
control.state = VcpuState.LOADED;
control.sleepWhileRequestIs(VcpuRequest.NONE);
const setup = receiveMessageOnPort(port)?.message as VcpuSetup | undefined;
try {
  if (control.request !== VcpuRequest.END && setup !== undefined) await live(setup);
} catch (error) {
  post({ kind: 'error', error: serializeError(error) });
}
control.state = VcpuState.ENDED;
port.close();
