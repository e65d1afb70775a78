import { struct, u16, u32 } from '../../../ffi/struct.ts';

/** virtio 1.2 section 5.3.4. */
export const consoleConfig = struct('virtio_console_config', {
  cols: u16,
  rows: u16,
  max_nr_ports: u32,
  emerg_wr: u32,
});
