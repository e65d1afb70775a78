import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';

export interface QmpEvent {
  readonly event: string;
  readonly at_us: number;
}

/** While QEMU starts. Its times are compared: not to be made longer by much. */
const RETRY_MS = 2;
const MAXIMUM_TRIES = 5000;

interface QmpMessage {
  readonly event?: string;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/** QEMU's monitor (docs/interop/qmp-spec): one command at a time, and the events that come meanwhile. */
export class Qmp {
  readonly events: QmpEvent[] = [];
  private readonly socket: Socket;
  private answer: ((message: QmpMessage) => void) | undefined;

  static async connect(path: string): Promise<Qmp> {
    for (let tries = 0; ; tries++) {
      const socket = connect(path);
      try {
        await once(socket, 'connect');
        const qmp = new Qmp(socket);
        await qmp.command('qmp_capabilities');
        return qmp;
      } catch (error) {
        if (tries > MAXIMUM_TRIES) throw error;
        await setTimeout(RETRY_MS);
      }
    }
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    createInterface({ input: socket }).on('line', line => this.take(JSON.parse(line) as QmpMessage));
  }

  async command<Result>(execute: string, args: Record<string, unknown> = {}): Promise<Result> {
    const answered = new Promise<QmpMessage>(resolve => {
      this.answer = resolve;
    });
    this.socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const message = await answered;
    if (message.error !== undefined) throw new Error(`QEMU: ${execute}: ${message.error.desc}`);
    return message.return as Result;
  }

  close(): void {
    this.socket.destroy();
  }

  private take(message: QmpMessage): void {
    const { event, timestamp } = message;
    if (event !== undefined && timestamp !== undefined) {
      this.events.push({ event, at_us: timestamp.seconds * 1e6 + timestamp.microseconds });
    } else if ('return' in message || 'error' in message) {
      this.answer?.(message);
      this.answer = undefined;
    }
  }
}
