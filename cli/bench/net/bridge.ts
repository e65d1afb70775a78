import { execFileSync } from 'node:child_process';

/** A Linux bridge with two taps, in a network namespace that ends with it. Needs root. */
export class Bridge {
  readonly taps = ['tap0', 'tap1'] as const;
  private readonly namespace = `tsvmm-bench-${process.pid}`;

  constructor() {
    ip('netns', 'add', this.namespace);
    try {
      this.within('link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0', 'stp_state', '0');
      for (const tap of this.taps) {
        this.within('tuntap', 'add', tap, 'mode', 'tap', 'vnet_hdr');
        this.within('link', 'set', tap, 'master', 'br0', 'up');
      }
      this.within('link', 'set', 'br0', 'up');
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** The words that start a program in the namespace; ip(8) replaces itself by it. */
  get launcher(): string[] {
    return ['ip', 'netns', 'exec', this.namespace];
  }

  remove(): void {
    ip('netns', 'delete', this.namespace);
  }

  private within(...words: string[]): void {
    ip('-n', this.namespace, ...words);
  }
}

const ip = (...words: string[]): void =>
  void execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
