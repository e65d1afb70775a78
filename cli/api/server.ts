import { chmodSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import * as v from 'valibot';
import { exitCodes, serializeError, TsvmmError } from '../../vmm/errors.ts';
import { type SocketPath, socketPath } from '../home/socket.ts';
import { LineStream } from './line-stream.ts';
import type { Route } from './route.ts';

const MOST_CONNECTIONS = 64;
/** What clients get to read the end of their streams. */
const CLOSING_MS = 500;
const LONGEST_BODY_BYTES = 64 * 1024;

/** The control socket of a running cluster: HTTP and JSON over a unix socket that only its user may open. */
export class ControlServer {
  private readonly server: Server;
  private readonly routes: readonly Route[];
  private readonly socket: SocketPath;
  private readonly streams = new Set<LineStream>();
  /** Connections that were upgraded, which the HTTP server forgets about. */
  private readonly rawSockets = new Set<Duplex>();

  /** Listens in the run directory. Throws the errors of bind(2) and listen(2). */
  static async listen(runDirectory: string, routes: readonly Route[]): Promise<ControlServer> {
    const control = new ControlServer(socketPath(runDirectory), routes);
    await new Promise<void>((resolve, reject) => {
      control.server.once('error', reject);
      control.server.listen(control.socket.path, resolve);
    });
    // The directory admits nobody else either.
    chmodSync(control.socket.path, 0o600);
    return control;
  }

  private constructor(socket: SocketPath, routes: readonly Route[]) {
    this.socket = socket;
    this.routes = routes;
    this.server = createServer((request, response) => void this.answer(request, response));
    this.server.maxConnections = MOST_CONNECTIONS;
    // Streams last as long as their client wants.
    this.server.requestTimeout = 0;
    this.server.on('upgrade', (request, socket, head) => void this.upgrade(request, socket, head));
    this.server.on('clientError', (_, socket) => socket.destroy());
  }

  /** Ends all connections and removes the socket. Idempotent. */
  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()));
    for (const stream of this.streams) stream.finish();
    this.server.closeIdleConnections();
    for (const socket of this.rawSockets) socket.end();
    const timer = setTimeout(() => this.closeByForce(), CLOSING_MS);
    await closed;
    clearTimeout(timer);
    this.socket.release();
  }

  private closeByForce(): void {
    this.server.closeAllConnections();
    for (const socket of this.rawSockets) socket.destroy();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {});
    try {
      const { route, input } = await this.find(request);
      if (route.kind === 'raw') throw new TsvmmError('TSVMM_E_USAGE', `${route.path} wants an upgrade`);
      if (route.kind === 'call') sendJson(response, 200, (await route.handle(input)) ?? {});
      else await this.answerStream(response, stream => route.handle(input, stream));
    } catch (error) {
      sendJson(response, statusOf(error), { error: serializeError(error) });
    }
  }

  private async answerStream(
    response: ServerResponse,
    handle: (stream: LineStream) => Promise<void>,
  ): Promise<void> {
    response.writeHead(200, { 'content-type': 'application/x-ndjson', connection: 'close' });
    response.flushHeaders();
    const stream = new LineStream(response);
    this.streams.add(stream);
    try {
      await handle(stream);
    } catch (error) {
      // The headers are out: the last line tells.
      stream.write({ error: serializeError(error) });
    }
    this.streams.delete(stream);
    response.end();
  }

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): Promise<void> {
    socket.on('error', () => {});
    try {
      const { route, input } = await this.find(request);
      if (route.kind !== 'raw') throw new TsvmmError('TSVMM_E_USAGE', `${route.path} knows no upgrade`);
      const connect = route.handle(input);
      this.rawSockets.add(socket);
      socket.on('close', () => this.rawSockets.delete(socket));
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tsvmm\r\n\r\n');
      connect(socket, head);
    } catch (error) {
      const body = JSON.stringify({ error: serializeError(error) });
      const status = `HTTP/1.1 ${statusOf(error)} Error\r\nContent-Type: application/json`;
      socket.end(
        `${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      );
    }
  }

  private async find(request: IncomingMessage): Promise<{ route: Route; input: unknown }> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://tsvmm');
    const found = this.routes.find(({ path, method }) => path === pathname && method === request.method);
    if (found === undefined) {
      throw new TsvmmError('TSVMM_E_NOT_FOUND', `the control socket knows no ${request.method} ${pathname}`, {
        hint: 'the cluster may run in another version of tsvmm: see tsvmm ps',
      });
    }
    const raw = found.method === 'POST' ? await readJson(request) : Object.fromEntries(searchParams);
    const parsed = v.safeParse(found.input, raw);
    if (!parsed.success) {
      const [issue] = parsed.issues;
      const at = v.getDotPath(issue);
      throw new TsvmmError('TSVMM_E_USAGE', at === null ? issue.message : `${at}: ${issue.message}`);
    }
    return { route: found, input: parsed.output };
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > LONGEST_BODY_BYTES) {
      throw new TsvmmError('TSVMM_E_USAGE', `a request has at most ${LONGEST_BODY_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  if (length === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new TsvmmError('TSVMM_E_USAGE', 'the request is not JSON', { cause });
  }
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  if (response.headersSent) return void response.end();
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

const statusByExitCode = new Map<number, number>([
  [exitCodes.usage, 400],
  [exitCodes.notFound, 404],
  [exitCodes.conflict, 409],
  [exitCodes.timedOut, 504],
]);

const statusOf = (error: unknown): number =>
  (error instanceof TsvmmError ? statusByExitCode.get(error.exitCode) : undefined) ?? 500;
