import { Option } from 'commander';

/** `--format text|json`, for verbs whose data scripts may want to read. */
export const formatOption = (): Option =>
  new Option('--format <format>', 'how to print: for people or for programs')
    .choices(['text', 'json'])
    .default('text');

export interface FormatOptions {
  readonly format: 'text' | 'json';
}

/** Data goes to stdout. */
export const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Exactly one document. */
export const printJson = (value: unknown): void => print(JSON.stringify(value, undefined, 2));

/** Narration goes to stderr. */
export const narrate = (text: string): void => void process.stderr.write(`${text}\n`);
