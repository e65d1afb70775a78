/**
 * The MC146818 real-time clock of a PC, at ports 0x70 and 0x71 (Motorola data sheet MC146818A): the date can be read,
 * and the alarm and periodic interrupts are not there. The date goes on from a snapshot's cut, like all of the guest.
 */
import type { BusDevice } from '../bus.ts';

export const CMOS_PORT = 0x70;
export const CMOS_PORTS = 2;

/** Where firmware keeps the century, as the FADT says. */
export const CMOS_CENTURY = 0x32;

const Register = {
  SECONDS: 0,
  MINUTES: 2,
  HOURS: 4,
  WEEKDAY: 6,
  DAY: 7,
  MONTH: 8,
  YEAR: 9,
  A: 10,
  B: 11,
  D: 13,
  CENTURY: CMOS_CENTURY,
} as const;
/** 32.768 kHz, 1024 Hz, no update in progress. */
const REGISTER_A = 0x26;
/** 24 hours, binary coded decimals. */
const REGISTER_B = 0x02;
/** The battery is good. */
const REGISTER_D = 0x80;
const INDEX_MASK = 0x7f;

/** What crosses to other threads. */
export interface CmosBuffers {
  readonly words: SharedArrayBuffer;
}

/** Doubles, as a difference of dates does not fit 32 bits. */
const Word = { INDEX: 0, OFFSET_SECONDS: 1, COUNT: 2 } as const;

/** The chosen register, and how far the guest's date is behind the host's. */
export class CmosState {
  private readonly words: Float64Array;

  static allocate(): CmosBuffers {
    return { words: new SharedArrayBuffer(Word.COUNT * 8) };
  }

  constructor({ words }: CmosBuffers) {
    this.words = new Float64Array(words);
  }

  get index(): number {
    return this.words[Word.INDEX] as number;
  }
  set index(index: number) {
    this.words[Word.INDEX] = index & INDEX_MASK;
  }

  /** The guest's date, in seconds since 1970. */
  get date_s(): number {
    return Math.floor(Date.now() / 1000) - (this.words[Word.OFFSET_SECONDS] as number);
  }
  set date_s(date: number) {
    this.words[Word.OFFSET_SECONDS] = Math.floor(Date.now() / 1000) - date;
  }
}

const bcd = (value: number): number => Math.floor(value / 10) * 16 + (value % 10);

export class Cmos implements BusDevice {
  private readonly state: CmosState;

  constructor(state: CmosState) {
    this.state = state;
  }

  read(offset: number, size: number, data: DataView, at: number): void {
    for (let i = 0; i < size; i++) data.setUint8(at + i, 0);
    data.setUint8(at, offset === 0 ? this.state.index : this.readRegister(this.state.index));
  }

  /** The date is not for the guest to set: kvmclock is what it keeps time with. */
  write(offset: number, _size: number, data: DataView, at: number): void {
    if (offset === 0) this.state.index = data.getUint8(at);
  }

  private readRegister(index: number): number {
    switch (index) {
      case Register.A:
        return REGISTER_A;
      case Register.B:
        return REGISTER_B;
      case Register.D:
        return REGISTER_D;
    }
    const date = new Date(this.state.date_s * 1000);
    switch (index) {
      case Register.SECONDS:
        return bcd(date.getUTCSeconds());
      case Register.MINUTES:
        return bcd(date.getUTCMinutes());
      case Register.HOURS:
        return bcd(date.getUTCHours());
      case Register.WEEKDAY:
        return bcd(date.getUTCDay() + 1);
      case Register.DAY:
        return bcd(date.getUTCDate());
      case Register.MONTH:
        return bcd(date.getUTCMonth() + 1);
      case Register.YEAR:
        return bcd(date.getUTCFullYear() % 100);
      case Register.CENTURY:
        return bcd(Math.floor(date.getUTCFullYear() / 100));
      default:
        return 0;
    }
  }
}
