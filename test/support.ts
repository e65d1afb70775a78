import { accessSync, constants } from 'node:fs';
import type { Test } from 'uvu';

/** Why this machine cannot run a test that opens `path` for reading and writing, or undefined if it can. */
export function lacksDevice(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return `${path}: ${(error as NodeJS.ErrnoException).code}`;
  }
}

/** Registers `body` as a test, or as a skipped one, saying why, when `obstacle` names a reason. */
export function testUnless(
  obstacle: string | undefined,
  suite: { (name: string, body: () => void | Promise<void>): void; skip: (name?: string) => void },
  name: string,
  body: () => void | Promise<void>,
): void {
  if (obstacle === undefined) {
    suite(name, body);
    return;
  }
  console.log(`skipped: ${name}: ${obstacle}`);
  suite.skip(name);
}

export type Suite = Test;
