/** Just enough SVG: elements as strings, with everything that comes from outside escaped. */

type Attributes = Record<string, string | number>;

export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const list = Object.entries(attributes).map(([key, value]) => ` ${key}="${escapeText(format(value))}"`);
  return children.length === 0
    ? `<${name}${list.join('')}/>`
    : `<${name}${list.join('')}>${children.join('')}</${name}>`;
}

/** Characters that XML 1.0 does not allow at all are replaced, too. */
export function escapeText(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]/g, '\ufffd')
    .replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}

const format = (value: string | number) => (typeof value === 'number' ? String(round(value)) : value);

const round = (value: number) => Math.round(value * 100) / 100;

/** "412 µs", "1.25 ms", "3.4 s". */
export function formatSpan(span_us: number): string {
  const [value, unit] =
    Math.abs(span_us) < 1_000
      ? [span_us, 'µs']
      : Math.abs(span_us) < 1_000_000
        ? [span_us / 1_000, 'ms']
        : [span_us / 1_000_000, 's'];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

/** Places of about `count` round values between `from` and `to`. */
export function ticks(from: number, to: number, count: number): number[] {
  const rough = Math.max((to - from) / count, Number.MIN_VALUE);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find(factor => factor * power >= rough) as number) * power;
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, index) => (first + index) * step);
}
