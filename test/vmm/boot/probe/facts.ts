/** What the probe says of the machine it was entered in. */
export class Facts {
  private readonly lines: readonly (readonly [string, string])[];

  constructor(console: string) {
    this.lines = console
      .split('\n')
      .filter(line => line.includes('='))
      .map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
  }

  all(name: string): number[] {
    return this.lines.filter(([key]) => key === name).map(([, value]) => Number(value));
  }
  number(name: string): number {
    return this.all(name)[0] as number;
  }
  big(name: string): bigint {
    return BigInt(this.text(name));
  }
  text(name: string): string {
    return this.lines.find(([key]) => key === name)?.[1] as string;
  }
}
