import type { VerbEntry } from './verb.ts';

/** All verbs, in the order in which `tsvmm --help` shows them. Each is one module, loaded when it is asked for. */
export const verbs: Readonly<Record<string, VerbEntry>> = {
  run: {
    group: 'Clusters',
    summary: 'boot a cluster from its file',
    load: () => import('./verbs/run.ts'),
  },
  ps: {
    group: 'Clusters',
    summary: 'list the running clusters, or the VMs of one',
    load: () => import('./verbs/ps.ts'),
  },
  pause: {
    group: 'Clusters',
    summary: 'pause all VMs of a cluster',
    load: () => import('./verbs/pause.ts'),
  },
  resume: {
    group: 'Clusters',
    summary: 'let a paused cluster run on',
    load: () => import('./verbs/resume.ts'),
  },
  stop: {
    group: 'Clusters',
    summary: 'end a cluster',
    load: () => import('./verbs/stop.ts'),
  },
  balloon: {
    group: 'Clusters',
    summary: "change how much memory a VM's guest has",
    load: () => import('./verbs/balloon.ts'),
  },
  snap: {
    group: 'Snapshots',
    summary: 'take, list, inspect, verify and remove snapshots',
    load: () => import('./verbs/snap.ts'),
  },
  restore: {
    group: 'Snapshots',
    summary: 'start a cluster from a snapshot',
    load: () => import('./verbs/restore.ts'),
  },
  console: {
    group: 'Looking inside',
    summary: "attach this terminal to a VM's console",
    load: () => import('./verbs/console.ts'),
  },
  logs: {
    group: 'Looking inside',
    summary: 'show what the consoles have said',
    load: () => import('./verbs/logs.ts'),
  },
  events: {
    group: 'Looking inside',
    summary: 'follow what happens, as one JSON document per line',
    load: () => import('./verbs/events.ts'),
  },
  stats: {
    group: 'Looking inside',
    summary: 'show a live table of counters',
    load: () => import('./verbs/stats.ts'),
  },
  capture: {
    group: 'Looking inside',
    summary: 'write the packets of a network to a pcapng file',
    load: () => import('./verbs/capture.ts'),
  },
  disk: {
    group: 'Guests and host',
    summary: 'make, look at, copy and merge disks',
    load: () => import('./verbs/disk.ts'),
  },
  image: {
    group: 'Guests and host',
    summary: 'list and build the guest images',
    load: () => import('./verbs/image.ts'),
  },
  validate: {
    group: 'Guests and host',
    summary: 'check a cluster file and print it fully resolved',
    load: () => import('./verbs/validate.ts'),
  },
  doctor: {
    group: 'Guests and host',
    summary: 'check whether this host can run virtual machines',
    load: () => import('./verbs/doctor.ts'),
  },
  bench: {
    group: 'Guests and host',
    summary: 'measure tsvmm beside its peers',
    load: () => import('./verbs/bench.ts'),
  },
  completion: {
    group: 'Guests and host',
    summary: 'print the completion script of a shell',
    load: () => import('./verbs/completion.ts'),
  },
};
