import { narrate } from './output.ts';

/** Prints when each step of this process began, in ms since the process was started, and how long it took. */
export function printTiming(): void {
  const marks = performance.getEntriesByType('mark');
  for (const [index, { name, startTime }] of marks.entries()) {
    const next = marks[index + 1];
    const took = next === undefined ? '' : `  took ${(next.startTime - startTime).toFixed(1)} ms`;
    narrate(`${startTime.toFixed(1).padStart(9)} ms  ${name.padEnd(14)}${took}`);
  }
}
