/** Exit codes of the CLI, as promised in docs/cli.md. */
export const exitCodes = {
  failed: 1,
  usage: 2,
  hostUnfit: 3,
  notFound: 4,
  conflict: 5,
  timedOut: 6,
  corrupt: 7,
  interrupted: 130,
} as const;

type ExitClass = keyof typeof exitCodes;

/** Every error a user can meet: its stable code and the class of exit it leads to. */
const errorClasses = {
  TSVMM_E_INTERNAL: 'failed',
  TSVMM_E_SYSCALL: 'failed',
  TSVMM_E_USAGE: 'usage',
  TSVMM_E_CONFIG: 'usage',
  TSVMM_E_IMAGE_INVALID: 'usage',
  TSVMM_E_IMAGE_BUILD: 'failed',
  TSVMM_E_IMAGE_NOT_FOUND: 'notFound',
  TSVMM_E_TOOL_MISSING: 'hostUnfit',
  TSVMM_E_KVM_MISSING: 'hostUnfit',
  TSVMM_E_KVM_PERMISSION: 'hostUnfit',
  TSVMM_E_KVM_UNFIT: 'hostUnfit',
  TSVMM_E_FFI_MISSING: 'hostUnfit',
  TSVMM_E_MEMORY: 'hostUnfit',
  TSVMM_E_NET_PERMISSION: 'hostUnfit',
  TSVMM_E_NET: 'failed',
  TSVMM_E_GUEST_MEMORY: 'failed',
  TSVMM_E_GUEST_CRASH: 'failed',
  TSVMM_E_GUEST_FATAL: 'failed',
  TSVMM_E_EMULATION: 'failed',
  TSVMM_E_KVM_EXIT: 'failed',
  TSVMM_E_WORKER: 'failed',
  TSVMM_E_CLUSTER_NOT_FOUND: 'notFound',
  TSVMM_E_VM_NOT_FOUND: 'notFound',
  TSVMM_E_NOT_FOUND: 'notFound',
  TSVMM_E_CLUSTER_EXISTS: 'conflict',
  TSVMM_E_CONFLICT: 'conflict',
  TSVMM_E_TIMEOUT: 'timedOut',
  TSVMM_E_DISK: 'failed',
  TSVMM_E_DISK_CORRUPT: 'corrupt',
  TSVMM_E_SNAPSHOT_CORRUPT: 'corrupt',
  TSVMM_E_INTERRUPTED: 'interrupted',
} as const satisfies Record<string, ExitClass>;

export type ErrorCode = keyof typeof errorClasses;

interface ErrorDetails {
  /** What the user can do about it, one sentence. */
  hint?: string;
  cause?: unknown;
  /** Machine-readable facts: registers, positions, limits. */
  details?: Record<string, unknown>;
}

/** An error with a stable code; the message says what went wrong, the hint what to do. */
export class TsvmmError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, { hint, cause, details }: ErrorDetails = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'TsvmmError';
    this.code = code;
    this.hint = hint;
    this.details = details;
  }

  get exitCode(): number {
    return exitCodes[errorClasses[this.code]];
  }
}

/** The plain form in which an error crosses a thread or the control socket. */
export interface SerializedError {
  code: ErrorCode;
  message: string;
  hint?: string;
  details?: Record<string, unknown>;
  causes: string[];
}

export function serializeError(error: unknown): SerializedError {
  const causes: string[] = [];
  for (let cause = (error as Error)?.cause; cause instanceof Error; cause = cause.cause)
    causes.push(cause.message);
  if (!(error instanceof TsvmmError)) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { code: 'TSVMM_E_INTERNAL', message, causes };
  }
  return {
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.details === undefined ? {} : { details: error.details }),
    causes,
  };
}

export function deserializeError({ code, message, hint, details, causes }: SerializedError): TsvmmError {
  const cause = causes.reduceRight<Error | undefined>(
    (inner, text) => new Error(text, inner && { cause: inner }),
    undefined,
  );
  return new TsvmmError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
    ...(cause === undefined ? {} : { cause }),
  });
}
