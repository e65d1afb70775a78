/** The net thread as it is without snapshots; another module may call serveNet with an extension. */
import { serveNet } from './serve.ts';

serveNet();
