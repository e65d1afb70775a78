/** Why an attempt did not become a snapshot, in the form that crosses the coordinator's pure border. */
import type { SerializedError } from '../../vmm/errors.ts';
import type { SnapshotRequest, VmName } from './protocol.ts';

const milliseconds = (span_us: number) => `${Math.round(span_us / 1000)} ms`;

/** What failed on the VM's side keeps its code: a full disk stays a full disk. */
export const vmFailed = (vm: VmName, failure: SerializedError): SerializedError => ({
  ...failure,
  message: `VM "${vm}" could not take part: ${failure.message}`,
});

export const requestTimedOut = (request: SnapshotRequest): SerializedError => ({
  code: 'TSVMM_E_TIMEOUT',
  message: `snapshot "${request.name}" was not complete after ${milliseconds(request.timeout_us)}`,
  hint: 'give it more time, or find out with `tsvmm stats` whether the disk or a VM holds it up',
  causes: [],
});

export const cutTimedOut = (vms: readonly VmName[]): SerializedError => ({
  code: 'TSVMM_E_TIMEOUT',
  message: `${vms.map(vm => `VM "${vm}"`).join(', ')} did not stop for the cut in time`,
  hint: 'the cluster runs on; try again when the machine is less busy',
  causes: [],
});

export const abortOverdue = (
  failure: SerializedError | undefined,
  parties: readonly string[],
): SerializedError => ({
  code: failure?.code ?? 'TSVMM_E_TIMEOUT',
  message: `${failure?.message ?? 'the snapshot was aborted'}; ${parties.join(', ')} still cleans up`,
  hint: 'further snapshots wait until that is done',
  causes: failure?.causes ?? [],
});

export const abortedByUser: SerializedError = {
  code: 'TSVMM_E_INTERRUPTED',
  message: 'the snapshot was aborted on request',
  causes: [],
};

export const queueFull = (waiting_count: number): SerializedError => ({
  code: 'TSVMM_E_CONFLICT',
  message: `${waiting_count} snapshots of this cluster are waiting already`,
  hint: 'wait until one of them is done',
  causes: [],
});

export const nameTaken = (name: string): SerializedError => ({
  code: 'TSVMM_E_CONFLICT',
  message: `a snapshot "${name}" is being taken already`,
  hint: 'choose another name with --name',
  causes: [],
});

export const noVms: SerializedError = {
  code: 'TSVMM_E_CONFLICT',
  message: 'the cluster has no running VM to take a snapshot of',
  causes: [],
};

export const epochsUsedUp: SerializedError = {
  code: 'TSVMM_E_CONFLICT',
  message: 'the cluster has used up its epoch numbers',
  hint: 'stop it and run it again',
  causes: [],
};
