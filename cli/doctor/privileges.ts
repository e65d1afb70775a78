import { accessSync, constants, readFileSync } from 'node:fs';

/** Whether this process has a capability in effect (capabilities(7); numbers from linux/capability.h). */
export function hasCapability(number: number): boolean {
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(readText('/proc/self/status') ?? '')?.[1];
  return effective !== undefined && (BigInt(`0x${effective}`) & (1n << BigInt(number))) !== 0n;
}

export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Undefined when `path` can be read and written, else the name of the error. */
export function accessError(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown error';
  }
}
