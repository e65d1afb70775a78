/**
 * The one event stream: what happens in this process, for progress displays, `tsvmm events`, metrics and the harness.
 * It is a channel of node:diagnostics_channel named "tsvmm:events", so that any code in the process can listen.
 * Publishing costs next to nothing while nobody does. Never publish from a hot path.
 */
import { channel } from 'node:diagnostics_channel';
import type { SerializedError } from './errors.ts';

/** The kinds of events and their fields. Parts of the product add theirs here. */
export interface EventFields {
  /** A cluster went into this state. */
  'cluster-state': {
    readonly cluster: string;
    readonly state: 'starting' | 'running' | 'paused' | 'stopping' | 'stopped';
  };
  /** A VM went into this state. */
  'vm-state': {
    readonly cluster: string;
    readonly vm: string;
    readonly state: 'created' | 'running' | 'paused' | 'stopped';
  };
  /** The guest has booted, so many ms after its VM was started. */
  'vm-ready': { readonly cluster: string; readonly vm: string; readonly boot_ms: number };
  /** The guest runs on, but something of it will not work on this host. */
  'vm-warning': { readonly cluster: string; readonly vm: string; readonly message: string };
  /** The guest ended, by itself or by an error. */
  'vm-exit': {
    readonly cluster: string;
    readonly vm: string;
    readonly reason: 'power-off' | 'reset' | 'error';
    readonly error?: SerializedError;
  };
  /** A bench guest said that one of its invariants broke. */
  'guest-fatal': { readonly cluster: string; readonly vm: string; readonly why: string };
}

export type EventType = keyof EventFields;
/** An event as listeners get it; `time_ms` counts from 1970, with fractions. */
export type TsvmmEvent = {
  [Type in EventType]: { readonly type: Type; readonly time_ms: number } & EventFields[Type];
}[EventType];

const events = channel('tsvmm:events');

export function publish<Type extends EventType>(type: Type, fields: EventFields[Type]): void {
  if (events.hasSubscribers)
    events.publish({ type, time_ms: performance.timeOrigin + performance.now(), ...fields });
}

/** Calls `listener` for each event from now on; the answer ends that. */
export function subscribe(listener: (event: TsvmmEvent) => void): () => void {
  const onMessage = (message: unknown) => listener(message as TsvmmEvent);
  events.subscribe(onMessage);
  return () => void events.unsubscribe(onMessage);
}
