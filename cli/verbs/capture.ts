import { createWriteStream } from 'node:fs';
import { finished, pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { TsvmmError } from '../../vmm/errors.ts';
import { ControlClient } from '../api/client.ts';
import type { ClusterStatus } from '../cluster/status.ts';
import { findCluster } from '../home/running.ts';
import { endQuietlyOnSignals } from '../ui/abort.ts';
import { narrate } from '../ui/output.ts';

interface Options {
  readonly net?: string;
  readonly write: string;
}

export function define(command: Command): void {
  command
    .argument('[cluster]', 'the cluster; may be left out when only one runs')
    .option('--net <network>', 'the network; may be left out when there is only one')
    .requiredOption('-w, --write <file>', 'the pcapng file ("-": stdout)')
    .addHelpText(
      'after',
      `
Runs until Ctrl-C. Each packet's comment tells its epoch and what the marker filter did with it.

Examples:
  tsvmm capture pair --net lan -w pair.pcapng
  tsvmm capture -w - | wireshark -k -i -`,
    )
    .action(capture);
}

async function capture(name: string | undefined, options: Options): Promise<void> {
  const client = new ControlClient(await findCluster(name));
  const network = options.net ?? onlyNetwork(await client.get<ClusterStatus>('/v1/status'));
  const socket = await client.upgrade('/v1/capture', { network });
  // Half-closing asks for the end of the stream, which then comes in order.
  endQuietlyOnSignals().addEventListener('abort', () => socket.end(), { once: true });
  if (options.write === '-') {
    socket.pipe(process.stdout);
    await finished(socket, { writable: false });
    return;
  }
  narrate(`capturing ${network} into ${options.write}; Ctrl-C ends it`);
  await pipeline(socket, createWriteStream(options.write));
}

function onlyNetwork({ name, networks }: ClusterStatus): string {
  const [network] = networks;
  if (network !== undefined && networks.length === 1) return network.name;
  const names = networks.map(each => each.name).join(', ');
  throw new TsvmmError('TSVMM_E_USAGE', `the cluster ${name} has ${networks.length} networks`, {
    hint: names === '' ? 'there is nothing to capture' : `name one by --net: ${names}`,
  });
}
