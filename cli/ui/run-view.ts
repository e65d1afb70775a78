import { subscribe, type TsvmmEvent } from '../../vmm/events.ts';
import type { RunningCluster } from '../cluster/cluster.ts';
import type { RunView } from '../cluster/run.ts';
import { ConsolePrinter } from './console-printer.ts';
import { type FormatOptions, narrate } from './output.ts';

/** How a cluster in the foreground is shown. */
export const createRunView = (format: FormatOptions['format']): RunView =>
  format === 'json' ? jsonView() : textView();

function textView(): RunView {
  return {
    watch: (cluster, { booted }) => {
      const printer = new ConsolePrinter([...cluster.vms.keys()]);
      onLines(cluster, (vm, line) => printer.print(vm, line));
      for (const vm of cluster.vms.values()) {
        vm.on('warning', message => narrate(`warning: ${vm.name}: ${message}`));
        if (!booted)
          vm.on('ready', () =>
            narrate(`${vm.name} has booted in ${((vm.boot_ms ?? 0) / 1000).toFixed(2)} s`),
          );
      }
      if (process.stderr.isTTY) {
        narrate(`${cluster.config.name} runs; Ctrl-C stops it; elsewhere: tsvmm ps, stats, console`);
      }
    },
    // An error is printed as that of the command.
    guestEnded: (vm, { reason, error }) => {
      if (error !== undefined) return;
      narrate(
        `${vm.name}: the guest ${reason === 'reset' ? 'wants a restart and is ended' : 'has powered off'}`,
      );
    },
  };
}

/** Every event, and each line of a console as an event too. */
function jsonView(): RunView {
  const print = (value: object) => void process.stdout.write(`${JSON.stringify(value)}\n`);
  subscribe((event: TsvmmEvent) => print(event));
  return {
    watch: ({ config: { name: cluster }, vms }) => {
      onLines({ vms }, (vm, line) =>
        print({ type: 'console', time_ms: performance.timeOrigin + performance.now(), cluster, vm, line }),
      );
    },
    guestEnded: () => {},
  };
}

function onLines({ vms }: Pick<RunningCluster, 'vms'>, print: (vm: string, line: string) => void): void {
  for (const vm of vms.values()) vm.console.on('line', line => print(vm.name, line));
}
