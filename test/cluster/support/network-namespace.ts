import { execFileSync } from 'node:child_process';
import { lacksDevice } from '../../support.ts';

let count = 0;

/** A network namespace: taps in it are seen by nobody else. Needs root. */
export class NetworkNamespace {
  readonly name = `tsvmm-test-${process.pid}-${count++}`;

  constructor() {
    this.ip('netns', 'add', this.name);
    this.within('link', 'set', 'lo', 'up');
  }

  /** The words that start a program in it. */
  words(program: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.name, ...program];
  }

  /** ip(8) in the namespace. */
  within(...words: string[]): string {
    return this.ip('-n', this.name, ...words);
  }

  /** Names of the interfaces, but for the loopback. */
  get links(): string[] {
    const links = JSON.parse(this.within('-json', 'link', 'show')) as { ifname: string }[];
    return links.map(({ ifname }) => ifname).filter(name => name !== 'lo');
  }

  remove(): void {
    this.ip('netns', 'delete', this.name);
  }

  private ip(...words: string[]): string {
    return execFileSync('ip', words, { encoding: 'utf8' });
  }
}

/** Why there can be no taps in a namespace of ours, or undefined. */
export const lacksTaps = (): string | undefined =>
  lacksDevice('/dev/net/tun') ??
  (process.getuid?.() === 0 ? undefined : 'needs root, for a network namespace');
