import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SerialState } from '../../../../vmm/devices/serial/state.ts';
import { Uart } from '../../../../vmm/devices/serial/uart.ts';

const [DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const FCR = IIR;
const OUT2 = 8;
const LOOPBACK = 0x10;
const RECEIVED = 1;
const EMPTY = 2;
const NO_INTERRUPT = 1;

/** A port with a guest that touches its registers and a host that watches the effects. */
class Bench {
  readonly state: SerialState;
  readonly uart: Uart;
  level = 0;
  announced = 0;
  waits = 0;
  private readonly data = new DataView(new ArrayBuffer(8));

  constructor({ coalescing = false } = {}) {
    this.state = new SerialState(SerialState.allocate());
    this.state.coalescing = coalescing;
    this.uart = new Uart(this.state, {
      line: {
        set: level => {
          this.level = level;
        },
      },
      outputReady: () => this.announced++,
      awaitRoom: () => this.waits++,
      setCoalescing: enabled => {
        this.state.coalescing = enabled;
      },
    });
  }

  get(register: number): number {
    this.uart.read(register, 1, this.data, 0);
    return this.data.getUint8(0);
  }

  set(register: number, value: number): void {
    this.data.setUint8(0, value);
    this.uart.write(register, 1, this.data, 0);
  }

  get output(): string {
    return Buffer.from(this.state.output.drain()).toString('latin1');
  }

  type(text: string): number {
    return this.uart.tryReceive(new TextEncoder().encode(text));
  }
}

const test = suite<{ port: Bench }>('Uart');
test.before.each(context => {
  context.port = new Bench();
});

test('DATA: written bytes come out at the host, which is told', ({ port }) => {
  for (const byte of Buffer.from('ok\n')) port.set(DATA, byte);
  assert.is(port.output, 'ok\n');
  assert.is(port.announced, 3);
  assert.is(port.get(LSR) & 0x60, 0x60, 'the transmitter is always empty');
});

test('DATA: typed bytes are read in order; LSR tells whether there are any', ({ port }) => {
  assert.is(port.get(LSR) & 1, 0);
  assert.is(port.type('abc'), 3);
  const read: number[] = [];
  while ((port.get(LSR) & 1) !== 0) read.push(port.get(DATA));
  assert.is(Buffer.from(read).toString(), 'abc');
  assert.is(port.get(DATA), 0, 'nothing there reads as 0');
});

test('LCR: DLAB shows the divisor in place of DATA and IER, and hides it again', ({ port }) => {
  port.set(IER, RECEIVED);
  port.set(LCR, 0x83);
  port.set(DATA, 0x0c);
  port.set(IER, 0x01);
  assert.equal([port.get(DATA), port.get(IER), port.get(LCR)], [0x0c, 0x01, 0x83]);
  port.set(LCR, 0x03);
  assert.is(port.get(IER), RECEIVED);
  assert.is(port.output, '', 'the divisor was not sent');
  port.set(LCR, 0x80);
  assert.is(port.get(DATA), 0x0c);
});

test('SCR, IER, MCR: keep what the chip has bits for', ({ port }) => {
  port.set(SCR, 0xa5);
  port.set(IER, 0xff);
  port.set(MCR, 0xff);
  assert.equal([port.get(SCR), port.get(IER), port.get(MCR)], [0xa5, 0x0f, 0x1f]);
});

test('FCR: enables the FIFOs, which IIR shows, and clears the receiver', ({ port }) => {
  assert.is(port.get(IIR), NO_INTERRUPT);
  port.set(FCR, 0x01);
  assert.is(port.get(IIR), 0xc0 | NO_INTERRUPT);
  port.type('lost');
  port.set(FCR, 0x03);
  assert.is(port.get(LSR) & 1, 0);
  port.set(FCR, 0);
  assert.is(port.get(IIR), NO_INTERRUPT);
});

test('interrupt: received data raises the line until all of it is read', ({ port }) => {
  port.set(MCR, OUT2);
  port.type('x');
  assert.is(port.level, 0, 'not enabled');
  port.set(IER, RECEIVED);
  assert.is(port.level, 1);
  assert.is(port.get(IIR), 4);
  port.type('y');
  port.get(DATA);
  assert.is(port.level, 1);
  port.get(DATA);
  assert.is(port.level, 0);
  assert.is(port.get(IIR), NO_INTERRUPT);
});

test('interrupt: the transmitter-empty interrupt comes when enabled and after each byte; reading IIR takes it', ({
  port,
}) => {
  port.set(MCR, OUT2);
  port.set(IER, EMPTY);
  assert.is(port.level, 1, 'at once, as the register is empty');
  assert.is(port.get(IIR), 2);
  assert.is(port.level, 0);
  assert.is(port.get(IIR), NO_INTERRUPT);
  port.set(DATA, 0x41);
  assert.is(port.level, 1);
  assert.is(port.get(IIR), 2);
  assert.is(port.level, 0);
  port.set(IER, EMPTY);
  assert.is(port.level, 0, 'enabling what is enabled is no news');
});

test('interrupt: received data goes before an empty transmitter, which stays pending', ({ port }) => {
  port.set(MCR, OUT2);
  port.set(IER, RECEIVED | EMPTY);
  port.type('x');
  assert.is(port.get(IIR), 4);
  port.get(DATA);
  assert.is(port.level, 1);
  assert.is(port.get(IIR), 2);
  assert.is(port.level, 0);
});

test('interrupt: nothing passes without OUT2', ({ port }) => {
  port.set(IER, RECEIVED);
  port.type('x');
  assert.is(port.level, 0);
  port.set(MCR, OUT2);
  assert.is(port.level, 1);
  port.set(MCR, 0);
  assert.is(port.level, 0);
});

test('loopback: sent bytes come back and the host sees none; the line is quiet', ({ port }) => {
  port.set(IER, RECEIVED);
  port.set(MCR, LOOPBACK | OUT2);
  port.set(DATA, 0x5a);
  assert.is(port.level, 0);
  assert.is(port.get(LSR) & 1, 1);
  assert.is(port.get(DATA), 0x5a);
  assert.is(port.output, '');
});

test('loopback: MSR shows the modem outputs, otherwise a connected peer', ({ port }) => {
  assert.is(port.get(MSR) & 0xf0, 0xb0);
  const shown = [0x01, 0x02, 0x04, 0x08, 0x0f].map(outputs => {
    port.set(MCR, LOOPBACK | outputs);
    return port.get(MSR) & 0xf0;
  });
  assert.equal(shown, [0x20, 0x10, 0x40, 0x80, 0xf0]);
});

test('coalescing: off while the driver wants an interrupt for each byte, and on again afterwards', () => {
  const port = new Bench({ coalescing: true });
  port.set(IER, RECEIVED);
  assert.ok(port.state.coalescing);
  port.set(IER, RECEIVED | EMPTY);
  assert.not.ok(port.state.coalescing);
  port.set(IER, RECEIVED);
  assert.ok(port.state.coalescing);
});

test('transmitQueued(): as a write of DATA, announced once for all', ({ port }) => {
  for (const byte of Buffer.from('queued')) port.uart.transmitQueued(byte);
  assert.is(port.announced, 0);
  port.uart.announceOutput();
  assert.is(port.announced, 1);
  assert.is(port.output, 'queued');
});

test('output: a guest faster than its host waits for room, then loses bytes, which are counted', ({
  port,
}) => {
  const room = port.state.output.free;
  for (let i = 0; i < room; i++) port.set(DATA, 0x2e);
  assert.is(port.waits, 0);
  port.set(DATA, 0x21);
  assert.is(port.waits, 1);
  assert.is(port.state.output.droppedBytes, 1);
});

test('tryReceive(): takes what fits; nothing while another thread is in the port', ({ port }) => {
  const { free } = port.state.input;
  assert.is(port.type('z'.repeat(free + 10)), free);
  assert.is(port.type('z'), 0);
  port.set(FCR, 0x02);
  port.state.lock.acquire();
  assert.is(port.type('z'), 0);
  port.state.lock.release();
  assert.is(port.type('z'), 1);
});

test('registers: wider reads give the register and zeros', ({ port }) => {
  port.set(SCR, 0x77);
  const data = new DataView(new ArrayBuffer(8));
  data.setUint32(0, 0xffffffff);
  port.uart.read(SCR, 4, data, 0);
  assert.is(data.getUint32(0, true), 0x77);
});

test('copyTo(), loadFrom(): the registers of one port in another', ({ port }) => {
  port.set(LCR, 0x83);
  port.set(DATA, 0x0c);
  port.set(LCR, 0x03);
  port.set(SCR, 0x42);
  port.set(IER, EMPTY);
  const saved = new Int32Array(SerialState.registerCount);
  port.state.copyTo(saved);
  const other = new Bench();
  other.state.loadFrom(saved);
  assert.equal(
    [SCR, IER, LCR].map(register => other.get(register)),
    [0x42, EMPTY, 0x03],
  );
  assert.is(other.get(IIR), 2, 'pending interrupts too');
});

test.run();
