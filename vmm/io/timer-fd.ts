import { checked } from '../ffi/errno.ts';
import { close, read, timerfdCreate, timerfdSettime } from '../ffi/libc.ts';
import { struct, usize } from '../ffi/struct.ts';

const CLOCK_MONOTONIC = 1;
const TFD_FLAGS = 0o2004000; // TFD_CLOEXEC | TFD_NONBLOCK

/** timerfd_settime(2), flattened. */
export const itimerspec = struct('itimerspec', {
  interval_seconds: usize,
  interval_nanoseconds: usize,
  value_seconds: usize,
  value_nanoseconds: usize,
});

/** A one-shot timer as a file descriptor, for loops whose waits must end to the microsecond. Allocates nothing. */
export class TimerFd {
  readonly fd = checked(timerfdCreate(CLOCK_MONOTONIC, TFD_FLAGS), 'timerfd_create');
  private readonly setting = itimerspec.allocate();
  private readonly expirations = new Uint8Array(8);

  /** Makes `fd` readable after `delay_us`, instead of when it was set to before. */
  set(delay_us: number): void {
    const { setting } = this;
    // A value of 0 would mean never.
    const nanoseconds = Math.max(1, Math.round(delay_us * 1000));
    setting.value_seconds = Math.floor(nanoseconds / 1e9);
    setting.value_nanoseconds = nanoseconds % 1e9;
    checked(timerfdSettime(this.fd, 0, setting.bytes, 0), 'timerfd_settime');
  }

  /** To be called when it was readable. */
  drain(): void {
    read(this.fd, this.expirations, 8);
  }

  close(): void {
    close(this.fd);
  }
}
