import { type Command, InvalidArgumentError } from 'commander';
import { addRunOptions, type RunOptions, runSource } from './run.ts';

interface Options extends RunOptions {
  readonly eager?: boolean;
  readonly newMacs?: boolean;
  readonly advanceClock?: boolean;
  readonly tap?: Readonly<Record<string, string>>;
}

export function define(command: Command): void {
  command
    .argument('<snapshot>', 'cluster/name, as tsvmm snap ls shows it, or the folder of a snapshot')
    .option('-d, --detach', 'run in the background; return when the cluster goes on')
    .option('--name <name>', 'name of the new cluster; that of the old one if left out')
    .option('--lazy', 'let the VMs run before all of their memory has been read (default)')
    .option('--eager', 'read all memory first')
    .option('--new-macs', 'give all NICs new addresses, for a clone that meets the original')
    .option('--advance-clock', "move the guests' clocks on by the time that has passed since the snapshot")
    .option('--tap <network=tap>', 'connect a network to another TAP device, or to none (NETWORK=)', tapOf);
  addRunOptions(command)
    .addHelpText(
      'after',
      `
All VMs go on together from the cut; frames that were in flight are delivered first.

Examples:
  tsvmm restore pair/s1
  tsvmm restore -d pair/s1 --name fork
  tsvmm restore -d pair/s1 --name fork --new-macs --tap lan=tap7`,
    )
    .action((snapshot: string, options: Options) => {
      const { eager = false, newMacs = false, advanceClock = false, tap: taps = {} } = options;
      const words = [
        ...(eager ? ['--eager'] : []),
        ...(newMacs ? ['--new-macs'] : []),
        ...(advanceClock ? ['--advance-clock'] : []),
        ...Object.entries(taps).map(([network, tap]) => `--tap=${network}=${tap}`),
      ];
      return runSource(
        { snapshot, lazy: !eager, newMacs, advanceClock, taps },
        ['restore', snapshot, ...words],
        options,
      );
    });
}

/** Collects the values of --tap; names of interfaces are checked when they are opened. */
function tapOf(text: string, before: Record<string, string> = {}): Record<string, string> {
  const match = /^([^=]+)=([^=]*)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('expected NETWORK=TAP, such as lan=tap7');
  return { ...before, [match[1] as string]: match[2] as string };
}
