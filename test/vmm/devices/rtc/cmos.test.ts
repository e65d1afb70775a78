import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Cmos, CmosState } from '../../../../vmm/devices/rtc/cmos.ts';

const test = suite('CMOS clock');

function clock() {
  const buffers = CmosState.allocate();
  const state = new CmosState(buffers);
  const device = new Cmos(new CmosState(buffers));
  const data = new DataView(new ArrayBuffer(1));
  const read = (index: number) => {
    data.setUint8(0, index);
    device.write(0, 1, data, 0);
    device.read(1, 1, data, 0);
    return data.getUint8(0);
  };
  return { state, device, read };
}

test('the date can be read as decimals, the century included', () => {
  const { state, read } = clock();
  state.date_s = Date.UTC(2031, 10, 29, 0, 58, 0) / 1000;
  const time = [4, 2].map(read);
  assert.ok(time[0] === 0 && (time[1] === 0x58 || time[1] === 0x59), `${time}`);
  assert.equal([7, 8, 9, 0x32, 6].map(read), [0x29, 0x11, 0x31, 0x20, 7]);
});

test('the date is that of the host, unless it goes on from another', () => {
  const { state } = clock();
  assert.ok(Math.abs(state.date_s - Date.now() / 1000) < 60);
  state.date_s = 1_000_000;
  assert.ok(state.date_s >= 1_000_000 && state.date_s < 1_000_060);
});

test('no update is ever in progress, and the battery is good', () => {
  const { read } = clock();
  assert.equal([10, 11, 13, 0x70].map(read), [0x26, 0x02, 0x80, 0]);
});

test('bit 7 of the index is the NMI mask, not part of it', () => {
  const { read } = clock();
  assert.is(read(0x8d), 0x80);
});

test.run();
