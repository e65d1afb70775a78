import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml';
import type { Problem } from './problems.ts';

export type Path = readonly (string | number)[];

/** A YAML text as plain data, which knows where in the text each value stands. */
export class SourceDocument {
  readonly file: string;
  readonly text: string;
  /** Undefined when the text is not YAML: then there are problems. */
  readonly value: unknown;
  /** What is wrong with the text as YAML: syntax, duplicate keys, unknown tags. */
  readonly problems: readonly Problem[];
  private readonly lines = new LineCounter();
  private readonly document;

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
    this.document = parseDocument(text, {
      lineCounter: this.lines,
      merge: true,
      stringKeys: true,
      prettyErrors: false,
    });
    const problems = [...this.document.errors, ...this.document.warnings].map(error =>
      this.at(error.pos[0], error.message),
    );
    visit(this.document, {
      Pair: (_, { key }) => {
        if (isScalar(key) && reservedKeys.has(key.value)) {
          problems.push(this.at(key.range?.[0] ?? 0, `the name "${key.value}" is reserved`));
        }
      },
    });
    this.value = problems.length === 0 ? this.plain(problems) : undefined;
    this.problems = problems;
  }

  /** A problem with what stands at `path`: the value, or else the key if `part` says so. */
  problem(path: Path, message: string, part: 'key' | 'value' = 'value'): Problem {
    return { ...this.at(this.locate(path, part), message), path: path.join('.') };
  }

  private at(offset: number, message: string): Problem {
    const { line, col } = this.lines.linePos(Math.min(offset, this.text.length));
    return { file: this.file, line: Math.max(line, 1), column: Math.max(col, 1), message };
  }

  private plain(problems: Problem[]): unknown {
    try {
      return this.document.toJS({ maxAliasCount: 100 });
    } catch (error) {
      problems.push(this.at(0, `cannot be expanded: ${(error as Error).message}`));
      return undefined;
    }
  }

  /** Offset of the deepest node on the way to `path`: a value that is left out is reported where it should be. */
  private locate(path: Path, part: 'key' | 'value'): number {
    let node: unknown = this.document.contents;
    let offset = startOf(node) ?? 0;
    for (const [depth, step] of path.entries()) {
      const child = this.child(node, step);
      if (child === undefined) break;
      const wantsKey = part === 'key' && depth === path.length - 1;
      offset = startOf(wantsKey ? (child.key ?? child.value) : child.value) ?? startOf(child.key) ?? offset;
      node = child.value;
    }
    return offset;
  }

  private child(parent: unknown, step: string | number): { key?: unknown; value: unknown } | undefined {
    const node = isAlias(parent) ? parent.resolve(this.document) : parent;
    if (isSeq(node)) {
      const value = node.items[Number(step)];
      return value === undefined ? undefined : { value };
    }
    if (!isMap(node)) return undefined;
    for (const { key, value } of node.items) {
      if (isScalar(key) && key.value === step) return { key, value };
    }
    return this.mergedChild(node.items, step);
  }

  /** Looks for the key in what is merged in by `<<: *other`. */
  private mergedChild(pairs: readonly unknown[], step: string | number): ReturnType<SourceDocument['child']> {
    for (const pair of pairs) {
      if (!(isPair(pair) && isScalar(pair.key) && pair.key.source === '<<')) continue;
      const sources = isSeq(pair.value) ? pair.value.items : [pair.value];
      for (const source of sources) {
        const found = this.child(source, step);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }
}

/** Plain objects have these by birth, so that as keys they would be lost or worse. */
const reservedKeys = new Set<unknown>(['__proto__', 'constructor', 'prototype']);

const startOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0];
