import { parseBenchReport } from '../../../cli/cluster/bench-report.ts';

/** The messages that a guest says it has sent and received (`trace=1`), each as "connection sequence". */
export interface MessageLog {
  readonly sent: ReadonlySet<string>;
  readonly received: ReadonlySet<string>;
}

export function logOf(lines: readonly string[]): MessageLog {
  const log = { sent: new Set<string>(), received: new Set<string>() };
  for (const line of lines) {
    const report = parseBenchReport(line);
    if (report?.event !== 'msg') continue;
    const message = `${String(report.id)} ${String(report.seq)}`;
    (report.dir === 'send' ? log.sent : log.received).add(message);
  }
  return log;
}

/** What one side has received though the other has not sent it: two states that never were together. */
export function orphans(client: MessageLog, server: MessageLog): string[] {
  const missing = (received: MessageLog, sent: MessageLog) =>
    [...received.received].filter(message => !sent.sent.has(message));
  return [
    ...missing(server, client).map(message => `request ${message}`),
    ...missing(client, server).map(message => `response ${message}`),
  ];
}
