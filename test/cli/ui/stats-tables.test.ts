import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterStats } from '../../../cli/cluster/status.ts';
import { statsTables } from '../../../cli/ui/stats-tables.ts';

const sample = (time_ms: number, count: number): ClusterStats => ({
  cluster: 'pair',
  time_ms,
  process: { resident_bytes: 100 * 2 ** 20, cpu_us: count * 1000 },
  vms: [
    {
      name: 'server',
      state: 'running',
      vcpus: [
        { pioExits: count, mmioExits: 0, interruptions: 0, coalescedWrites: 0, emulatedInstructions: 0 },
        { pioExits: count, mmioExits: 0, interruptions: 0, coalescedWrites: 0, emulatedInstructions: 0 },
      ],
      cow: { cow_faults: 7 },
      consoleDroppedBytes: 3,
      lostLogLines: 0,
      reports: [{ event: 'stat', workload: 'cpu', t_ms: count * 10, ops: count, errors: 0, gap_us_max: 1 }],
    },
  ],
  networks: { lan: { 'server/net0': { kind: 'nic', sent_frames: count, sent_bytes: count * 2048 } } },
  disks: { 'server/disk0': { read_count: count } },
});

/** The cells of the row that begins with `first`, by heading. */
function row(text: string, heading: string, first: string): Record<string, string> {
  const lines = text.split('\n').map(line => line.split(/ {2,}/));
  const at = lines.findIndex(cells => cells[0] === heading);
  const headings = lines[at] as string[];
  const cells = lines.slice(at).find(line => line[0] === first) as string[];
  return Object.fromEntries(headings.map((name, column) => [name, cells[column] as string]));
}

test('statsTables: rates per second over the time between the samples', () => {
  const text = statsTables(sample(1000, 100), sample(3000, 300));
  assert.match(text, /^pair: CPU 10 %, resident 100 MiB\n/);
  const vm = row(text, 'VM', 'server');
  assert.is(vm['PIO/S'], '200');
  assert.is(vm['COW/S'], '0');
  assert.is(vm['CONSOLE LOST'], '3');
  const port = row(text, 'PORT', 'lan server/net0');
  assert.is(port['TX FRAMES/S'], '100');
  assert.is(port['TX/S'], '200 KiB');
  assert.is(row(text, 'DISK', 'server/disk0')['READS/S'], '100');
});

test("statsTables: workloads are measured by the guest's own clock", () => {
  const text = statsTables(sample(1000, 100), sample(3000, 300));
  assert.match(text, /^server +cpu +100 +0 +- +1$/m);
});

test('statsTables: a report that has not changed has no rate, and a new VM none either', () => {
  const [before, after] = [sample(1000, 100), sample(2000, 100)];
  assert.match(statsTables(before, after), /^server +cpu +- +0/m);
  assert.match(statsTables({ ...before, vms: [] }, after), /^server +running +2 +- +-/m);
});

test('statsTables: networks and disks that are not there have no table', () => {
  const text = statsTables(
    { ...sample(0, 1), networks: {}, disks: {} },
    { ...sample(1000, 2), networks: {}, disks: {} },
  );
  assert.not.match(text, 'PORT');
  assert.not.match(text, 'DISK');
});

test.run();
