import type { Duplex } from 'node:stream';
import type { GenericSchema, InferOutput } from 'valibot';
import type { LineStream } from './line-stream.ts';

/**
 * What the control socket answers. Inputs come from the query of a GET and from the JSON body of a POST, and have
 * been checked by the schema. Errors that a handler throws go to the client, as SerializedError.
 */
export type Route<Schema extends GenericSchema = GenericSchema> = {
  readonly method: 'GET' | 'POST';
  /** Such as /v1/pause. */
  readonly path: string;
  readonly input: Schema;
} & (
  | {
      /** One JSON document. */
      readonly kind: 'call';
      readonly handle: (input: InferOutput<Schema>) => unknown;
    }
  | {
      /** JSON documents, one per line, until the handler's promise settles or the client leaves. */
      readonly kind: 'stream';
      readonly handle: (input: InferOutput<Schema>, stream: LineStream) => Promise<void>;
    }
  | {
      /**
       * The connection itself, after an HTTP upgrade. The handler may still refuse by throwing; what it returns gets
       * the connection, and `head`, which the client sent ahead.
       */
      readonly kind: 'raw';
      readonly handle: (input: InferOutput<Schema>) => (socket: Duplex, head: Uint8Array) => void;
    }
);

/** Keeps the types of input and handler together. */
export const route = <Schema extends GenericSchema>(route: Route<Schema>): Route => route as unknown as Route;
