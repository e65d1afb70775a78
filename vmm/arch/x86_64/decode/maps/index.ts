import { type OpcodeMap, parseMap } from '../notation.ts';
import { evex0f3aText, evex0f38Text, evex0fText, evex5Text, evex6Text } from './evex.ts';
import { oneByteText } from './one-byte.ts';
import { sse0f3aText, sse0f38Text, sse0fText } from './sse.ts';
import { map0f3aText, map0f38Text } from './three-byte.ts';
import { group7RegisterText, group9RegisterText, group15RegisterText, twoByteText } from './two-byte.ts';
import { vex0f3aText, vex0f38Text, vex0fText, xop8Text, xop9Text, xop10Text } from './vex.ts';

const parse = (...texts: string[]): OpcodeMap => parseMap(texts.join('\n'), true);

export const oneByteLong = parse(oneByteText);
export const oneByteLegacy = parseMap(oneByteText, false);

const legacy0f = parse(sse0fText, twoByteText);
const legacy0f38 = parse(sse0f38Text, map0f38Text);
const legacy0f3a = parse(sse0f3aText, map0f3aText);

/** Maps by number, as VEX and EVEX count them: 1 is 0F, 2 is 0F 38, 3 is 0F 3A. */
export const legacyMaps: readonly (OpcodeMap | undefined)[] = [undefined, legacy0f, legacy0f38, legacy0f3a];
export const vexMaps: readonly (OpcodeMap | undefined)[] = [
  undefined,
  parse(sse0fText, vex0fText),
  parse(sse0f38Text, vex0f38Text),
  parse(sse0f3aText, vex0f3aText),
];
export const evexMaps: readonly (OpcodeMap | undefined)[] = [
  undefined,
  parse(sse0fText, evex0fText),
  parse(sse0f38Text, evex0f38Text),
  parse(sse0f3aText, evex0f3aText),
  undefined,
  parse(evex5Text),
  parse(evex6Text),
];
/** XOP maps from 8 on. */
export const xopMaps: readonly (OpcodeMap | undefined)[] = [
  parse(xop8Text),
  parse(xop9Text),
  parse(xop10Text),
];

/** Opcodes of 0F whose register forms are instructions of their own, told apart by the whole ModRM byte. */
export const registerFormMaps: ReadonlyMap<number, OpcodeMap> = new Map([
  [0x01, parse(group7RegisterText)],
  [0xae, parse(group15RegisterText)],
  [0xc7, parse(group9RegisterText)],
]);
