/** The backend that this thread uses; see select.ts for which one that is. */
import { selectBackend } from './select.ts';

export const backend = await selectBackend();
