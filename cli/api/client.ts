import { type IncomingMessage, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { deserializeError, type SerializedError, TsvmmError } from '../../vmm/errors.ts';
import type { RunningEntry } from '../home/running.ts';
import { socketPath } from '../home/socket.ts';

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

interface Exchange {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly query?: Query | undefined;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** Talks to the control socket of a running cluster. All methods throw what the other side reports. */
export class ControlClient {
  private readonly cluster: Pick<RunningEntry, 'cluster' | 'directory'>;

  constructor(cluster: Pick<RunningEntry, 'cluster' | 'directory'>) {
    this.cluster = cluster;
  }

  get<Reply>(path: string, { query, signal }: { query?: Query; signal?: AbortSignal } = {}): Promise<Reply> {
    return this.call({ method: 'GET', path, query, signal });
  }

  post<Reply>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<Reply> {
    return this.call({ method: 'POST', path, body, signal });
  }

  /** The documents of a streaming route, until the server ends it, or quietly until `signal` aborts. */
  async *stream<Line>(exchange: Exchange): AsyncGenerator<Line> {
    try {
      const response = await this.send(exchange);
      await requireOk(response);
      for await (const text of linesOf(response)) {
        const line = JSON.parse(text) as { error?: unknown };
        if (isSerializedError(line.error)) throw deserializeError(line.error);
        yield line as Awaited<Line>;
      }
    } catch (error) {
      if (error instanceof TsvmmError && !exchange.signal?.aborted) throw error;
      if (!exchange.signal?.aborted) throw this.unreachable('the connection broke', error);
    }
  }

  /** A raw connection, after an upgrade. */
  async upgrade(path: string, query: Query): Promise<Duplex> {
    const headers = { connection: 'Upgrade', upgrade: 'tsvmm' };
    return new Promise((resolve, reject) => {
      const { outgoing, release } = this.open({ method: 'GET', path, query }, headers);
      outgoing.on('upgrade', (_, socket, head) => {
        release();
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      outgoing.on('response', response => {
        release();
        requireOk(response).then(() => reject(this.unreachable('it does not upgrade')), reject);
      });
      outgoing.on('error', cause => {
        release();
        reject(this.unreachable('connection failed', cause));
      });
      outgoing.end();
    });
  }

  private async call<Reply>(exchange: Exchange): Promise<Reply> {
    const response = await this.send(exchange);
    await requireOk(response);
    return JSON.parse(await textOf(response)) as Reply;
  }

  private send(exchange: Exchange): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const { outgoing, release } = this.open(exchange, { 'content-type': 'application/json' });
      outgoing.on('response', response => {
        release();
        resolve(response);
      });
      outgoing.on('error', cause => {
        release();
        reject(this.unreachable('connection failed', cause));
      });
      outgoing.end(exchange.method === 'POST' ? JSON.stringify(exchange.body ?? {}) : undefined);
    });
  }

  private open({ method, path, query = {}, signal }: Exchange, headers: Record<string, string>) {
    let socket: ReturnType<typeof socketPath>;
    try {
      socket = socketPath(this.cluster.directory);
    } catch (cause) {
      throw this.unreachable('its run directory is gone', cause);
    }
    const entries = Object.entries(query)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]): [string, string] => [key, String(value)]);
    const search = entries.length === 0 ? '' : `?${new URLSearchParams(entries)}`;
    const options = { socketPath: socket.path, method, path: `${path}${search}`, headers, agent: false };
    let released = false;
    const release = () => {
      if (!released) socket.release();
      released = true;
    };
    return { outgoing: request(signal === undefined ? options : { ...options, signal }), release };
  }

  private unreachable(why: string, cause?: unknown): TsvmmError {
    const { cluster } = this.cluster;
    return new TsvmmError('TSVMM_E_CLUSTER_NOT_FOUND', `the cluster ${cluster} does not answer: ${why}`, {
      hint: 'it may be starting or ending: see tsvmm ps',
      cause,
    });
  }
}

async function requireOk(response: IncomingMessage): Promise<void> {
  if (response.statusCode === 200) return;
  const { error } = JSON.parse(await textOf(response)) as { error?: SerializedError };
  if (isSerializedError(error)) throw deserializeError(error);
  throw new TsvmmError('TSVMM_E_INTERNAL', `the control socket answered with status ${response.statusCode}`);
}

const isSerializedError = (value: unknown): value is SerializedError =>
  typeof value === 'object' && value !== null && 'code' in value && 'causes' in value;

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  return text;
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let pending = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = (pending + chunk).split('\n');
    pending = lines.pop() as string;
    yield* lines;
  }
}
