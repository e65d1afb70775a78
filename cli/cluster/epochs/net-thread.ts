/** The net thread of a cluster: the switch, with the epoch protocol in it. */
import { serveNet } from '../../../net/serve.ts';
import type { EpochMessage } from './messages.ts';
import { SwitchEpochs } from './switch-extension.ts';

serveNet((engine, notify) => {
  const epochs = new SwitchEpochs(engine, notify);
  return body => epochs.handle(body as EpochMessage);
});
