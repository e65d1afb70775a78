/** How VMs are wired: NIC n of every VM that has one is on network n; the port to the outside is on network 0. */
import type { Participant } from './participant.ts';
import type { Scenario } from './scenario.ts';
import type { SwitchPort } from './switch.ts';
import { newVmState, type VmState } from './vm.ts';

export const nicCountOf = (scenario: Scenario, vm: number) => (scenario.secondNics.includes(vm) ? 2 : 1);

export function freshState(scenario: Scenario, vm: number): VmState {
  const peers = scenario.talks
    .filter(({ a, b }) => a === vm || b === vm)
    .map(({ a, b, network }) => ({ peer: a === vm ? b : a, nic: network }));
  return newVmState(vm, nicCountOf(scenario, vm), peers);
}

export type PortPlan = Pick<SwitchPort, 'index' | 'name' | 'vm' | 'network' | 'nic' | 'tx' | 'isPlugged'>;

export function wire(
  scenario: Scenario,
  participants: readonly Participant[],
  isPresent: (vm: number) => boolean,
): PortPlan[] {
  const ports = participants.flatMap(({ vm, state }) =>
    state.tx.map((tx, nic) => ({
      index: 0,
      name: `vm${vm}/eth${nic}`,
      vm,
      nic,
      network: nic,
      tx,
      isPlugged: isPresent(vm),
    })),
  );
  const outside = { index: 0, name: 'outside/tap0', vm: -1, nic: 0, network: 0, tx: undefined };
  return [...ports, { ...outside, isPlugged: scenario.hasOutside }].map((port, index) => ({
    ...port,
    index,
  }));
}
