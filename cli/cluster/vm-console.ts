import { EventEmitter } from 'node:events';
import { ConsoleLog } from './console-log.ts';
import { LineAssembler } from './line-assembler.ts';
import { ReplayBuffer } from './replay-buffer.ts';

interface ConsoleEvents {
  /** As the guest wrote them. */
  bytes: [Uint8Array];
  line: [string];
}

/** All that becomes of what a guest writes to its console. */
export class VmConsole extends EventEmitter<ConsoleEvents> {
  readonly log: ConsoleLog;
  private readonly replay = new ReplayBuffer();
  private readonly assembler = new LineAssembler(line => {
    this.log.append(line);
    this.emit('line', line);
  });

  constructor(logPath: string) {
    super();
    // Every follower and every attached terminal listens: their number is bounded by the control socket.
    this.setMaxListeners(0);
    this.log = new ConsoleLog(logPath);
  }

  write(bytes: Uint8Array): void {
    this.replay.push(bytes);
    this.emit('bytes', bytes);
    // Last, since a line may be the guest's end.
    this.assembler.push(bytes);
  }

  /** What a terminal that attaches now should show. */
  lastScreen(): Buffer {
    return this.replay.lastScreen();
  }

  close(): void {
    this.assembler.flush();
    this.log.close();
  }
}
