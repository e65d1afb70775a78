import type { BusDevice } from '../bus.ts';
import type { InterruptLine } from '../interrupt-line.ts';
import type { SerialState } from './state.ts';

/** The 16550A UART (National Semiconductor PC16550D data sheet, section 8): COM1 of a PC. */
export const COM1 = { port: 0x3f8, length: 8, irq: 4 } as const;

const Offset = { DATA: 0, IER: 1, IIR_FCR: 2, LCR: 3, MCR: 4, LSR: 5, MSR: 6, SCR: 7 } as const;
const Ier = { RECEIVED: 1, TRANSMITTER_EMPTY: 2, MASK: 0x0f } as const;
const Iir = { NONE: 1, TRANSMITTER_EMPTY: 2, RECEIVED: 4, FIFOS_ENABLED: 0xc0 } as const;
const Lcr = { DLAB: 0x80 } as const;
const Mcr = { DTR_RTS: 0x03, OUT1_OUT2: 0x0c, OUT2: 0x08, LOOPBACK: 0x10, MASK: 0x1f } as const;
const Lsr = { DATA_READY: 1, TRANSMITTER_EMPTY: 0x60 } as const;
const Fcr = { ENABLE: 1, CLEAR_RECEIVER: 2, MASK: 0xc9 } as const;
/** Clear to send, data set ready, carrier detect: somebody is always there. */
const MSR_CONNECTED = 0xb0;

/** What the port needs from its VM. */
export interface SerialEffects {
  readonly line: InterruptLine;
  /** Output is there for the host to fetch. */
  outputReady(): void;
  /** Called when the output ring is full; returns when there may be room again, or gives up. */
  awaitRoom(): void;
  /** Whether writes of the transmit register may be queued by the kernel (KVM_CAP_COALESCED_PIO). */
  setCoalescing(enabled: boolean): void;
}

/** A driver that waits for the interrupt after each byte must see it at once, so its writes must exit. */
export const mayCoalesce = ({ interruptEnable }: SerialState): boolean =>
  (interruptEnable & Ier.TRANSMITTER_EMPTY) === 0;

export class Uart implements BusDevice {
  readonly state: SerialState;
  private readonly effects: SerialEffects;

  constructor(state: SerialState, effects: SerialEffects) {
    this.state = state;
    this.effects = effects;
  }

  read(offset: number, size: number, data: DataView, at: number): void {
    for (let i = 0; i < size; i++) data.setUint8(at + i, 0);
    this.state.lock.acquire();
    data.setUint8(at, this.readRegister(offset));
    this.state.lock.release();
  }

  write(offset: number, _size: number, data: DataView, at: number): void {
    this.state.lock.acquire();
    this.writeRegister(offset, data.getUint8(at));
    if (offset === Offset.DATA) this.announceOutput();
    this.state.lock.release();
  }

  /** Tells the host that there is output, if there is. Once for a batch, as it may cost a message. */
  announceOutput(): void {
    if (this.state.output.length > 0) this.effects.outputReady();
  }

  /** A write of the transmit register that the kernel had queued. Lock held by the caller, who announces it. */
  transmitQueued(byte: number): void {
    this.writeRegister(Offset.DATA, byte);
  }

  /**
   * Takes bytes for the guest and answers how many: those that fit, or none while another thread is in the port. Never
   * waits, as the control thread calls it.
   */
  tryReceive(bytes: Uint8Array): number {
    const { state } = this;
    if (!state.lock.tryAcquire()) return 0;
    const count = Math.min(bytes.length, state.input.free);
    for (let i = 0; i < count; i++) state.input.push(bytes[i] as number);
    this.updateInterrupt();
    state.lock.release();
    return count;
  }

  private readRegister(offset: number): number {
    const { state } = this;
    const divisorLatch = (state.lineControl & Lcr.DLAB) !== 0;
    switch (offset) {
      case Offset.DATA:
        return divisorLatch ? state.divisorLow : this.takeReceived();
      case Offset.IER:
        return divisorLatch ? state.divisorHigh : state.interruptEnable;
      case Offset.IIR_FCR:
        return this.readInterruptIdentification();
      case Offset.LCR:
        return state.lineControl;
      case Offset.MCR:
        return state.modemControl;
      case Offset.LSR:
        return Lsr.TRANSMITTER_EMPTY | (state.input.length > 0 ? Lsr.DATA_READY : 0);
      case Offset.MSR:
        return this.readModemStatus();
      default:
        return state.scratch;
    }
  }

  private writeRegister(offset: number, value: number): void {
    const { state } = this;
    const divisorLatch = (state.lineControl & Lcr.DLAB) !== 0;
    switch (offset) {
      case Offset.DATA:
        if (divisorLatch) state.divisorLow = value;
        else this.transmit(value);
        return;
      case Offset.IER:
        if (divisorLatch) state.divisorHigh = value;
        else this.writeInterruptEnable(value & Ier.MASK);
        return;
      case Offset.IIR_FCR:
        if ((value & Fcr.CLEAR_RECEIVER) !== 0) state.input.drain();
        state.fifoControl = value & Fcr.MASK;
        break;
      case Offset.LCR:
        state.lineControl = value;
        return;
      case Offset.MCR:
        state.modemControl = value & Mcr.MASK;
        break;
      case Offset.SCR:
        state.scratch = value;
        return;
    }
    this.updateInterrupt();
  }

  private transmit(byte: number): void {
    const { state, effects } = this;
    if ((state.modemControl & Mcr.LOOPBACK) !== 0) {
      state.input.push(byte);
    } else {
      if (state.output.free === 0) effects.awaitRoom();
      state.output.push(byte);
    }
    state.transmitterEmptied = true;
    this.updateInterrupt();
  }

  private takeReceived(): number {
    const byte = this.state.input.shift();
    this.updateInterrupt();
    return Math.max(byte, 0);
  }

  private writeInterruptEnable(value: number): void {
    const { state, effects } = this;
    const wantsEmpty = (value & Ier.TRANSMITTER_EMPTY) !== 0;
    if (wantsEmpty && (state.interruptEnable & Ier.TRANSMITTER_EMPTY) === 0) state.transmitterEmptied = true;
    state.interruptEnable = value;
    if (state.coalescing !== mayCoalesce(state)) effects.setCoalescing(!state.coalescing);
    this.updateInterrupt();
  }

  private readInterruptIdentification(): number {
    const { state } = this;
    const fifos = (state.fifoControl & Fcr.ENABLE) !== 0 ? Iir.FIFOS_ENABLED : 0;
    if ((state.interruptEnable & Ier.RECEIVED) !== 0 && state.input.length > 0) return Iir.RECEIVED | fifos;
    if ((state.interruptEnable & Ier.TRANSMITTER_EMPTY) !== 0 && state.transmitterEmptied) {
      state.transmitterEmptied = false;
      this.updateInterrupt();
      return Iir.TRANSMITTER_EMPTY | fifos;
    }
    return Iir.NONE | fifos;
  }

  /** In loopback mode the modem outputs are wired to the inputs (section 8.6.4). */
  private readModemStatus(): number {
    const { modemControl } = this.state;
    if ((modemControl & Mcr.LOOPBACK) === 0) return MSR_CONNECTED;
    const dtrToDsr = (modemControl & 1) << 5;
    const rtsToCts = (modemControl & 2) << 3;
    return dtrToDsr | rtsToCts | ((modemControl & Mcr.OUT1_OUT2) << 4);
  }

  private updateInterrupt(): void {
    const { state, effects } = this;
    const received = (state.interruptEnable & Ier.RECEIVED) !== 0 && state.input.length > 0;
    const emptied = (state.interruptEnable & Ier.TRANSMITTER_EMPTY) !== 0 && state.transmitterEmptied;
    // On a PC the interrupt passes through OUT2.
    const enabled = (state.modemControl & Mcr.OUT2) !== 0 && (state.modemControl & Mcr.LOOPBACK) === 0;
    const level = enabled && (received || emptied) ? 1 : 0;
    if (level === state.interruptLevel) return;
    state.interruptLevel = level;
    effects.line.set(level);
  }
}
