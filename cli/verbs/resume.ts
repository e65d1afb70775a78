import type { Command } from 'commander';
import { defineClusterCall } from './cluster-call.ts';

export const define = (command: Command): void =>
  defineClusterCall(command, {
    path: '/v1/resume',
    did: 'runs',
    help: `
Example:
  tsvmm resume pair`,
  });
