export type CheckStatus = 'pass' | 'warn' | 'fail';

export interface Finding {
  readonly status: CheckStatus;
  /** What was found, in a few words. */
  readonly detail: string;
  /** What to do about it; with warn and fail. */
  readonly hint?: string;
}

/** One thing that tsvmm needs, or is better with. Never throws. */
export interface Check {
  readonly name: string;
  readonly run: () => Finding | Promise<Finding>;
}

export const pass = (detail: string): Finding => ({ status: 'pass', detail });
export const warn = (detail: string, hint: string): Finding => ({ status: 'warn', detail, hint });
export const fail = (detail: string, hint: string): Finding => ({ status: 'fail', detail, hint });
