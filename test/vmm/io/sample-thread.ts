/** The thread of io-thread.test.ts. */
import { TsvmmError } from '../../../vmm/errors.ts';
import { serveIoThread } from '../../../vmm/io/io-thread.ts';

export type SampleMessage = 'setup' | 'refuse' | 'break' | 'crash' | 'leave' | { readonly double: number };

serveIoThread<SampleMessage, { greeting: string }>((loop, setup) => {
  loop.onBeforeSleep(() => -1);
  return message => {
    switch (message) {
      case 'setup':
        return setup.greeting;
      case 'refuse':
        throw new TsvmmError('TSVMM_E_DISK', 'refused', { hint: 'ask otherwise', cause: new Error('deep') });
      case 'break':
        throw new RangeError('broken');
      case 'crash':
        // Outside of the message's handling: the loop itself fails.
        loop.onBeforeSleep(() => {
          throw new Error('crashed');
        });
        return undefined;
      case 'leave':
        return process.exit();
      default:
        return message.double * 2;
    }
  };
});
