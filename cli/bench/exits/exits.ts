/** `tsvmm bench exits`: what FFI and TypeScript add to the cost of leaving a guest, beside the same in C. */
import { ensureImage } from '../../image/ensure.ts';
import { findImage, imageStore } from '../../image/images.ts';
import { abortOnSignals } from '../../ui/abort.ts';
import { Progress } from '../../ui/progress.ts';
import { type Contestant, interleave, ratio, type Sample, type Series, summarizeAll } from '../harness.ts';
import { type Goal, printReport } from '../report.ts';
import type { Summary } from '../statistics.ts';
import type { Measurement } from './measurement.ts';
import { NativePrograms } from './native.ts';
import { Subject } from './subject.ts';

const TSVMM = 'tsvmm';
const NATIVE = 'C';
/** An exit's round trip may take so much longer than in C. */
const GOAL_RATIO = 1.25;
/** The operations that are round trips of an exit to user space. */
const EXITS = ['pio_exit', 'pio_in_exit', 'mmio_exit'];
const DESCRIPTIONS: Readonly<Record<string, string>> = {
  pio_exit: 'port write, handled in user space',
  pio_in_exit: 'port read, handled in user space',
  mmio_exit: 'device register read, handled in user space',
  ioeventfd: 'notification by ioeventfd',
  lapic_write: 'local APIC register write (in the kernel)',
  irqfd_round_trip: 'irqfd, sleeping guest, ioeventfd, sleeping host',
  irqline_round_trip: 'KVM_IRQ_LINE, sleeping guest, ioeventfd, sleeping host',
  kick_spinning: 'kick of a spinning guest',
  kick_halted: 'kick of a halted guest',
  enter: 'KVM_RUN with immediate_exit',
  ffi_call: 'call of a C function (abs)',
};

export interface ExitsBenchOptions {
  readonly rounds: number;
  readonly samples: number;
  readonly format: 'text' | 'json';
}

export async function benchExits({ rounds, samples, format }: ExitsBenchOptions): Promise<void> {
  const signal = abortOnSignals();
  const { files } = await ensureImage(imageStore(), findImage('bench'), { signal });
  const path = files.kernel;
  const native = await NativePrograms.compile(signal);
  const subject = new Subject();
  const progress = new Progress('bench exits');
  try {
    const contestants = [
      subjectContestant(subject, path, native.echoGuest, samples),
      nativeContestant(native, path, samples),
    ];
    const series = await interleave(contestants, { rounds, signal, progress: step => progress.step(step) });
    progress.end();
    report(series, rounds, format);
  } finally {
    progress.end();
    await subject.close();
    native.close();
  }
}

const subjectContestant = (
  subject: Subject,
  image: string,
  echoGuest: string,
  samples: number,
): Contestant => ({
  name: TSVMM,
  measure: async () =>
    asSample([
      ...(await subject.guest(image, samples)),
      renamed('kick_spinning', await subject.kick(image, 'spin', samples)),
      renamed('kick_halted', await subject.kick(image, 'halt', samples)),
      await subject.interrupt(echoGuest, 'irqfd', samples),
      await subject.interrupt(echoGuest, 'irqline', samples),
      await subject.enter(image, samples),
      subject.ffiCall(samples),
    ]),
});

const nativeContestant = (native: NativePrograms, image: string, samples: number): Contestant => ({
  name: NATIVE,
  measure: async () => {
    const kick = async (words: string) =>
      (await native.measure(image, 'kick', words, samples)) as [Measurement];
    return asSample([
      ...(await native.measure(image, 'guest', `exits samples=${samples} stat=0`)),
      renamed('kick_spinning', ...(await kick('spin'))),
      renamed('kick_halted', ...(await kick('halt'))),
      ...(await native.measure(native.echoGuest, 'irqfd', '', samples)),
      ...(await native.measure(native.echoGuest, 'irqline', '', samples)),
      ...(await native.measure(image, 'enter', 'halt', samples)),
    ]);
  },
});

const renamed = (name: string, measurement: Measurement): Measurement => ({ ...measurement, name });

const asSample = (measurements: readonly Measurement[]): Sample =>
  Object.fromEntries(
    measurements
      .filter(({ name }) => name in DESCRIPTIONS)
      .flatMap(({ name, median_ns, p99_ns }) => [
        [`${name}_ns`, median_ns],
        [`${name}_p99_ns`, p99_ns],
      ]),
  );

function report(series: Series, rounds: number, format: 'text' | 'json'): void {
  const subject = summarizeAll(series, TSVMM);
  const native = summarizeAll(series, NATIVE);
  const ratios = Object.fromEntries(
    Object.keys(DESCRIPTIONS).map(name => [name, ratio(series, `${name}_ns`, TSVMM, NATIVE)]),
  );
  printReport(
    {
      bench: 'bench exits',
      rounds,
      results: { tsvmm: subject, c: native, tsvmm_to_c: ratios },
      goals: EXITS.map(name => goal(name, ratios[name])),
      tables: [
        {
          title: 'Round trips, in microseconds',
          headings: ['OPERATION', 'tsvmm', 'p99', 'C', 'p99', 'tsvmm / C', 'WHAT'],
          rows: Object.entries(DESCRIPTIONS).map(([name, what]) => [
            name,
            microseconds(subject[`${name}_ns`]),
            microseconds(subject[`${name}_p99_ns`]),
            microseconds(native[`${name}_ns`]),
            microseconds(native[`${name}_p99_ns`]),
            spread(ratios[name]),
            what,
          ]),
        },
      ],
    },
    format,
  );
}

function goal(name: string, measured: Summary | undefined): Goal {
  return {
    goal: `${name}: at most ${GOAL_RATIO} times what it takes in C`,
    measured: spread(measured),
    reached: measured !== undefined && measured.median <= GOAL_RATIO,
  };
}

const microseconds = (summary: Summary | undefined): string =>
  summary === undefined ? '-' : (summary.median / 1000).toFixed(summary.median < 10_000 ? 2 : 1);
const spread = (summary: Summary | undefined): string =>
  summary === undefined ? '-' : `${summary.median.toFixed(2)} ±${summary.mad.toFixed(2)}`;
