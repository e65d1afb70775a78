/** CLOCK_MONOTONIC in microseconds: comparable between the threads of this machine. */
export function monotonic_us(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}
