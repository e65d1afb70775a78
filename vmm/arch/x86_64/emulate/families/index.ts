import type { Emulated } from '../encoding.ts';
import { bitInstructions } from './bits.ts';
import { breakpointInstructions } from './breakpoint.ts';
import { checksumInstructions } from './checksum.ts';
import { exchangeInstructions } from './exchange.ts';
import { extendedControlInstructions } from './extended-control.ts';
import { flagInstructions } from './flags.ts';
import { hintInstructions } from './hints.ts';
import { randomInstructions } from './random.ts';
import { segmentBaseInstructions } from './segment-bases.ts';
import { sseControlInstructions } from './sse-control.ts';
import { sseLogicInstructions } from './sse-logic.ts';
import { sseMoveInstructions } from './sse-move.ts';
import { translationInstructions } from './translation.ts';
import { xsaveInstructions } from './xsave.ts';

/** All that can be completed. */
export const emulatedInstructions: readonly Emulated[] = [
  ...breakpointInstructions,
  ...flagInstructions,
  ...bitInstructions,
  ...checksumInstructions,
  ...exchangeInstructions,
  ...hintInstructions,
  ...randomInstructions,
  ...segmentBaseInstructions,
  ...sseControlInstructions,
  ...sseMoveInstructions,
  ...sseLogicInstructions,
  ...extendedControlInstructions,
  ...xsaveInstructions,
  ...translationInstructions,
];
