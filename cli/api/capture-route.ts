import * as v from 'valibot';
import type { Networks } from '../../net/index.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import type { RunningCluster } from '../cluster/cluster.ts';
import { type Route, route } from './route.ts';

/** The frames of one network as a pcapng stream, until the client closes its side. */
export const captureRoute = (cluster: RunningCluster, networks: () => Networks | undefined): Route =>
  route({
    kind: 'raw',
    method: 'GET',
    path: '/v1/capture',
    input: v.strictObject({ network: v.pipe(v.string(), v.maxLength(64)) }),
    handle: ({ network }) => {
      const available = cluster.config.networks.map(({ name }) => name);
      const open = networks();
      if (open === undefined || !available.includes(network)) {
        throw new TsvmmError(
          'TSVMM_E_NOT_FOUND',
          `the cluster ${cluster.config.name} has no network "${network}"`,
          {
            hint:
              available.length === 0
                ? 'its file names no networks'
                : `its networks are: ${available.join(', ')}`,
          },
        );
      }
      return socket => {
        void open.capture(network, socket).then(
          capture => {
            const end = () => void capture.stop().catch(() => {});
            socket.on('end', end);
            socket.on('close', end);
            socket.resume();
          },
          () => socket.destroy(),
        );
      };
    },
  });
