import { type Notify, serveIoThread } from '../vmm/io/io-thread.ts';
import { TimerFd } from '../vmm/io/timer-fd.ts';
import { Engine } from './engine.ts';
import type { NetMessage, NetThreadSetup } from './messages.ts';
import { NetService } from './service.ts';

/**
 * Something that works in the net thread beside the switch: it gets the engine, to set its markers or look at waiting
 * frames, and answers the messages that Networks.extension() sends, between turns; `notify` reaches Networks.onNotice.
 */
export type NetExtension = (engine: Engine, notify: Notify) => (body: unknown) => unknown;

const clock_us = () => performance.now() * 1000;

/**
 * Runs the calling thread as the net thread, one for all networks of the process. It sleeps in epoll until a driver
 * notifies, a tap has frames, a timer is due or the control side has a message.
 */
export function serveNet(extend: NetExtension = () => () => undefined): void {
  serveIoThread<NetMessage, NetThreadSetup>((loop, { table }, notify) => {
    const engine = new Engine({ descriptors: loop, clock_us });
    const service = new NetService(engine, table);
    const extension = extend(engine, notify);
    const timer = new TimerFd();
    loop.onClose(() => {
      timer.close();
      engine.free();
    });
    let timerSet_us = Number.POSITIVE_INFINITY;
    loop.add(timer.fd, () => {
      timer.drain();
      timerSet_us = Number.POSITIVE_INFINITY;
    });
    loop.onBeforeSleep(() => {
      const until_us = engine.work();
      if (until_us === 0) return 0;
      // A timer that is set too early costs one wake-up; setting it for every deadline would cost a call each.
      if (until_us < timerSet_us) {
        timer.set(until_us - clock_us());
        timerSet_us = until_us;
      }
      return -1;
    });
    return message => (message.kind === 'extension' ? extension(message.body) : service.handle(message));
  });
}
