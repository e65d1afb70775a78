/** Pages this near to each other are taken as one run: to copy some more is quicker than another system call. */
const GAP = 32;

/** A set of page numbers that is read as runs of neighbours. Allocates nothing after its construction. */
export class PageRuns {
  private readonly pages: Int32Array;
  private count = 0;

  constructor(capacity: number) {
    this.pages = new Int32Array(capacity);
  }

  clear(): void {
    this.count = 0;
  }

  /** Keeps the pages in order; they are few. */
  add(page: number): void {
    const { pages } = this;
    let at = this.count;
    while (at > 0 && (pages[at - 1] as number) > page) at--;
    if (at > 0 && pages[at - 1] === page) return;
    pages.copyWithin(at + 1, at, this.count);
    pages[at] = page;
    this.count++;
  }

  /** How many pages the runs have that forEach() visits. */
  length(alignment: number): number {
    let sum = 0;
    this.forEach(alignment, (_first, pageCount) => {
      sum += pageCount;
    });
    return sum;
  }

  /** Calls `visit` for each run; none crosses a multiple of `alignment` pages. */
  forEach(alignment: number, visit: (first: number, pageCount: number) => void): void {
    const { pages, count } = this;
    for (let i = 0; i < count; ) {
      const first = pages[i] as number;
      const border = first - (first % alignment) + alignment;
      let last = first;
      for (i++; i < count; i++) {
        const page = pages[i] as number;
        if (page >= border || page - last > GAP) break;
        last = page;
      }
      visit(first, last - first + 1);
    }
  }
}
