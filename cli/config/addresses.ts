/** An IPv4 address with the length of its network prefix. */
export interface Ipv4Interface {
  /** Dotted decimal. */
  readonly address: string;
  readonly prefix: number;
}

export const formatInterface = ({ address, prefix }: Ipv4Interface): string => `${address}/${prefix}`;

/** Parses 10.0.0.1/24; answers what is wrong with it as a string. */
export function parseIpv4Interface(text: string): Ipv4Interface | string {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\/(\d{1,2}))?$/.exec(text);
  if (match === null) return 'expected an IPv4 address with prefix length, such as 10.0.0.1/24';
  if (match[5] === undefined) return `the prefix length is missing: did you mean ${text}/24?`;
  const octets = match.slice(1, 5).map(Number);
  const prefix = Number(match[5]);
  if (octets.some(octet => octet > 255)) return 'a part of the address is greater than 255';
  if (prefix < 1 || prefix > 32) return 'the prefix length must be from 1 to 32';
  const value = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  if (value >= 224 * 2 ** 24) return 'the address is a multicast or reserved one';
  const hosts = 2 ** (32 - prefix);
  if (prefix < 31 && value % hosts === 0)
    return 'this is the address of the network itself, not of a host in it';
  if (prefix < 31 && value % hosts === hosts - 1) return 'this is the broadcast address of the network';
  return { address: octets.join('.'), prefix };
}

/** Lower-case form of an Ethernet address that a NIC may have; answers what is wrong with it as { problem }. */
export function parseMac(text: string): string | { readonly problem: string } {
  const mac = text.toLowerCase().replaceAll('-', ':');
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac))
    return { problem: 'expected an Ethernet address, such as 02:00:00:00:00:01' };
  if (mac === '00:00:00:00:00:00') return { problem: 'an address of zeros belongs to no NIC' };
  if (Number.parseInt(mac.slice(0, 2), 16) % 2 === 1) return { problem: 'this is a multicast address' };
  return mac;
}

/**
 * An Ethernet address for a NIC that was given none: locally administered, and the same each time for the same
 * cluster, virtual machine and NIC. `attempt` tells apart what would clash.
 */
export function deriveMac(cluster: string, vm: string, nic: number, attempt = 0): string {
  const seed = `${cluster}/${vm}/${nic}/${attempt}`;
  const bytes = [hash32(seed, 1), hash32(seed, 2)].flatMap(word => [
    word >>> 24,
    (word >>> 16) & 0xff,
    (word >>> 8) & 0xff,
  ]);
  bytes[0] = 0x02;
  return bytes.map(byte => byte.toString(16).padStart(2, '0')).join(':');
}

/** A number from 0 to 2^32-1 that text and salt always give alike: FNV-1a, then the finalizer of MurmurHash3. */
export function hash32(text: string, salt: number): number {
  let hash = 0x811c9dc5 ^ salt;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
