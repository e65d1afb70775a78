import { MIB } from '../../../vmm/memory/address.ts';
import type { BenchGuests } from '../guests/bench-guests.ts';
import { QemuRun } from '../guests/qemu-run.ts';
import { TsvmmRun } from '../guests/tsvmm-run.ts';
import type { Bridge } from './bridge.ts';

/** What two guests do with each other: words of their command lines. */
export interface PairWork {
  readonly server: string;
  readonly client: string;
}

/** Starts two guests on a network of their own: "server" is 10.0.0.1, "client" 10.0.0.2. */
export type PairStarter = (work: PairWork) => BenchGuests;

const MEMORY_BYTES = 64 * MIB;

/** Both in one process, on its switch. */
export const tsvmmPair: PairStarter = ({ server, client }) => {
  const vm = (name: string, words: string, address: string) =>
    `  ${name}: { args: [${words.split(' ').join(', ')}], nets: [{ network: lan, ip: ${address}/24 }] }`;
  return new TsvmmRun(
    [
      `name: bench-net-${process.pid}`,
      `defaults: { image: bench, memory: ${MEMORY_BYTES / MIB}MiB }`,
      'vms:',
      vm('server', server, '10.0.0.1'),
      vm('client', client, '10.0.0.2'),
      'networks: { lan: {} }',
    ].join('\n'),
  );
};

/** Two processes, on taps in a Linux bridge. */
export const qemuPair =
  (image: string, bridge: Bridge): PairStarter =>
  ({ server, client }) => {
    const guest = (vm: string, words: string, index: 0 | 1) => ({
      vm,
      image,
      memory_bytes: MEMORY_BYTES,
      words: `${words} ip=10.0.0.${index + 1}/24`,
      launcher: bridge.launcher,
      devices: [
        ...['-netdev', `tap,id=net,ifname=${bridge.taps[index]},script=no,downscript=no`],
        ...['-device', `virtio-net-device,netdev=net,mac=52:54:00:00:00:0${index + 1}`],
      ],
    });
    return new QemuRun([guest('server', server, 0), guest('client', client, 1)]);
  };
