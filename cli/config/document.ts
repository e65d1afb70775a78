import { createRequire } from 'node:module';
import type { Document, LineCounter, Node } from 'yaml';
import type { Problem } from './problems.ts';

export type Path = readonly (string | number)[];

interface Parsed {
  readonly document: Document;
  readonly lines: LineCounter;
  readonly value: unknown;
  readonly problems: readonly Problem[];
}

/**
 * A YAML text as plain data, which knows where in the text each value stands. Of a text whose value is known already,
 * the YAML is not even looked at, nor the parser loaded, unless there is a problem to be placed.
 */
export class SourceDocument {
  readonly file: string;
  readonly text: string;
  private readonly known: { readonly value: unknown } | undefined;
  private parsed: Parsed | undefined;

  constructor(file: string, text: string, known?: { readonly value: unknown }) {
    this.file = file;
    this.text = text;
    this.known = known;
  }

  /** Undefined when the text is not YAML: then there are problems. */
  get value(): unknown {
    return this.known === undefined ? this.parse().value : this.known.value;
  }

  /** What is wrong with the text as YAML: syntax, duplicate keys, unknown tags. */
  get problems(): readonly Problem[] {
    return this.known === undefined ? this.parse().problems : [];
  }

  /** A problem with what stands at `path`: the value, or else the key if `part` says so. */
  problem(path: Path, message: string, part: 'key' | 'value' = 'value'): Problem {
    const { document, lines } = this.parse();
    return { ...this.at(lines, locate(document, path, part), message), path: path.join('.') };
  }

  private parse(): Parsed {
    this.parsed ??= this.parseText();
    return this.parsed;
  }

  private parseText(): Parsed {
    const { LineCounter, isScalar, parseDocument, visit } = yaml();
    const lines = new LineCounter();
    const options = { lineCounter: lines, merge: true, stringKeys: true, prettyErrors: false };
    const document = parseDocument(this.text, options);
    const problems = [...document.errors, ...document.warnings].map(error =>
      this.at(lines, error.pos[0], error.message),
    );
    visit(document, {
      Pair: (_, { key }) => {
        if (isScalar(key) && reservedKeys.has(key.value)) {
          problems.push(this.at(lines, key.range?.[0] ?? 0, `the name "${key.value}" is reserved`));
        }
      },
    });
    let value: unknown;
    try {
      if (problems.length === 0) value = document.toJS({ maxAliasCount: 100 });
    } catch (error) {
      problems.push(this.at(lines, 0, `cannot be expanded: ${(error as Error).message}`));
    }
    return { document, lines, value, problems };
  }

  private at(lines: LineCounter, offset: number, message: string): Problem {
    const { line, col } = lines.linePos(Math.min(offset, this.text.length));
    return { file: this.file, line: Math.max(line, 1), column: Math.max(col, 1), message };
  }
}

/** Plain objects have these by birth, so that as keys they would be lost or worse. */
const reservedKeys = new Set<unknown>(['__proto__', 'constructor', 'prototype']);

const require = createRequire(import.meta.url);
let loadedYaml: typeof import('yaml') | undefined;

/** Loaded when it is needed, as it takes longer than anything else that reading a cluster file does. */
function yaml(): typeof import('yaml') {
  loadedYaml ??= require('yaml') as typeof import('yaml');
  return loadedYaml;
}

/** Offset of the deepest node on the way to `path`: a value that is left out is reported where it should be. */
function locate(document: Document, path: Path, part: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, step] of path.entries()) {
    const child = childOf(document, node, step);
    if (child === undefined) break;
    const wantsKey = part === 'key' && depth === path.length - 1;
    offset = startOf(wantsKey ? (child.key ?? child.value) : child.value) ?? startOf(child.key) ?? offset;
    node = child.value;
  }
  return offset;
}

interface Child {
  readonly key?: unknown;
  readonly value: unknown;
}

function childOf(document: Document, parent: unknown, step: string | number): Child | undefined {
  const { isAlias, isMap, isScalar, isSeq } = yaml();
  const node = isAlias(parent) ? parent.resolve(document) : parent;
  if (isSeq(node)) {
    const value = node.items[Number(step)];
    return value === undefined ? undefined : { value };
  }
  if (!isMap(node)) return undefined;
  for (const { key, value } of node.items) {
    if (isScalar(key) && key.value === step) return { key, value };
  }
  return mergedChildOf(document, node.items, step);
}

/** Looks for the key in what is merged in by `<<: *other`. */
function mergedChildOf(
  document: Document,
  pairs: readonly unknown[],
  step: string | number,
): Child | undefined {
  const { isPair, isScalar, isSeq } = yaml();
  for (const pair of pairs) {
    if (!(isPair(pair) && isScalar(pair.key) && pair.key.source === '<<')) continue;
    const sources = isSeq(pair.value) ? pair.value.items : [pair.value];
    for (const source of sources) {
      const found = childOf(document, source, step);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

const startOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0];
