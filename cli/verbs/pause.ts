import type { Command } from 'commander';
import { defineClusterCall } from './cluster-call.ts';

export const define = (command: Command): void =>
  defineClusterCall(command, {
    path: '/v1/pause',
    did: 'is paused',
    help: `
No VM runs until "tsvmm resume". Guests find that their clocks went on.

Examples:
  tsvmm pause pair
  tsvmm pause          the only cluster that runs`,
  });
