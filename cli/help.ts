import { verbGroups } from './verb.ts';
import { verbs } from './verbs.ts';

/** What `tsvmm --help` prints. */
export function overview(): string {
  const names = Object.keys(verbs);
  const width = Math.max(...names.map(name => name.length)) + 2;
  const sections = verbGroups.map(group => {
    const lines = names
      .filter(name => verbs[name]?.group === group)
      .map(name => `  ${name.padEnd(width)}${verbs[name]?.summary}`);
    return `${group}:\n${lines.join('\n')}`;
  });
  return `tsvmm boots clusters of virtual machines on /dev/kvm from one process.

Usage: tsvmm VERB [ARGUMENTS] [OPTIONS]

${sections.join('\n\n')}

Options:
  -h, --help     show this help; tsvmm VERB --help shows a verb's
  -V, --version  show the version

Examples:
  tsvmm doctor                    can this host run virtual machines?
  tsvmm run examples/one.yaml     boot a cluster and watch its consoles; Ctrl-C stops it
  tsvmm run -d examples/one.yaml  boot it in the background
  tsvmm ps                        what is running?

State is kept in $TSVMM_HOME (default ~/.local/share/tsvmm).
`;
}
