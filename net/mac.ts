import { TsvmmError } from '../vmm/errors.ts';

/**
 * MAC addresses as numbers below 2^48, the first byte on the wire being the highest: exact, and cheap to compare and
 * to look up.
 */
export const BROADCAST = 0xffffffffffff;

/** The group bit, the lowest of the first byte: broadcast and multicast (IEEE 802). */
export const isGroup = (mac: number): boolean => ((mac / 2 ** 40) & 1) === 1;

export const macFromBytes = (bytes: Uint8Array): number => bytes.reduce((mac, byte) => mac * 256 + byte, 0);

export const macToBytes = (mac: number): Uint8Array =>
  Uint8Array.from({ length: 6 }, (_, i) => Math.floor(mac / 2 ** (8 * (5 - i))) & 0xff);

export const formatMac = (mac: number): string =>
  [...macToBytes(mac)].map(byte => byte.toString(16).padStart(2, '0')).join(':');

/** `text` is like 52:54:00:12:34:56. Throws TSVMM_E_CONFIG for anything else, and for group addresses and zero. */
export function parseMac(text: string): number {
  const mac = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)
    ? Number.parseInt(text.replaceAll(':', ''), 16)
    : 0;
  if (mac !== 0 && !isGroup(mac)) return mac;
  throw new TsvmmError('TSVMM_E_CONFIG', `"${text}" is not the MAC address of a network card`, {
    hint: 'write six pairs of hexadecimal digits with an even first pair, as 52:54:00:12:34:56',
  });
}
