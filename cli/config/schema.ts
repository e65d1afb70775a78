/** The shape of a cluster file, key by key. What needs more than one value to be judged is in resolve.ts. */
import * as v from 'valibot';
import { suggest } from '../ui/suggest.ts';
import { parseIpv4Interface, parseMac } from './addresses.ts';
import { limits, NAME_PATTERN } from './limits.ts';
import { formatSize, parseShare, parseSize } from './units.ts';

/** An object with these keys and no others. */
const shape = <const Entries extends v.ObjectEntries>(entries: Entries, what: string) =>
  v.strictObject(entries, issue => {
    const at = issue.path?.at(-1);
    if (at?.origin !== 'key') return `expected ${what}, not ${issue.received}`;
    if (issue.expected !== 'never') return `the key ${issue.expected} is missing`;
    const similar = suggest(String(at.key), Object.keys(entries));
    const known = `known are ${Object.keys(entries).join(', ')}`;
    return `unknown key "${at.key}"; ${similar === undefined ? known : `did you mean "${similar}"?`}`;
  });

/** Turns a text or number into something else, or reports what is wrong with it. */
const converted = <Output>(expected: string, convert: (value: string | number) => Output | string[]) =>
  v.pipe(
    v.union([v.string(), v.number()], issue => `expected ${expected}, not ${issue.received}`),
    v.rawTransform<string | number, Output>(({ dataset, addIssue, NEVER }) => {
      const output = convert(dataset.value);
      if (!Array.isArray(output)) return output;
      for (const message of output) addIssue({ message });
      return NEVER;
    }),
  );

const sizeBetween = (bounds: { minimum: number; maximum: number; multiple: number }) =>
  converted<number>('a size such as 64MiB', value => {
    const bytes = typeof value === 'string' ? parseSize(value) : undefined;
    if (bytes === undefined) {
      const unit = typeof value === 'number' ? `: ${value}MiB?` : '';
      return [`expected a size with its unit (KiB, MiB, GiB, TiB), such as 64MiB or 1G${unit}`];
    }
    if (bytes < bounds.minimum) return [`${value} is less than the least, ${formatSize(bounds.minimum)}`];
    if (bytes > bounds.maximum) return [`${value} is more than the most, ${formatSize(bounds.maximum)}`];
    if (bytes % bounds.multiple !== 0) return [`must be a multiple of ${formatSize(bounds.multiple)}`];
    return bytes;
  });

const numberBetween = (minimum: number, maximum: number, unit = '') => {
  const expected = `expected a number from ${minimum} to ${maximum}${unit}`;
  return v.pipe(v.number(expected), v.minValue(minimum, expected), v.maxValue(maximum, expected));
};
const countBetween = (minimum: number, maximum: number) =>
  v.pipe(numberBetween(minimum, maximum), v.integer('expected a whole number'));

const NAME_RULE = `a name has 1 to ${limits.nameLength} of a-z, 0-9 and "-", and begins and ends with a letter or digit`;
const name = v.pipe(
  v.string('expected a name'),
  v.maxLength(limits.nameLength, NAME_RULE),
  v.regex(NAME_PATTERN, NAME_RULE),
);
export const isName = (text: string): boolean => v.is(name, text);

const path = v.pipe(
  v.string('expected the path of a file'),
  v.minLength(1, 'expected the path of a file'),
  v.maxLength(limits.pathLength, 'the path is too long'),
  v.check(text => !text.includes('\0'), 'a path cannot contain a zero byte'),
);

const PRINTABLE = /^[ -~]*$/;
const cmdline = v.pipe(
  v.string('expected the command line as one text'),
  v.maxLength(limits.cmdlineLength, `a command line has at most ${limits.cmdlineLength} characters`),
  v.regex(PRINTABLE, 'a command line is printable ASCII'),
);
const word = converted<string>('a word', value => {
  const text = String(value);
  if (text === '' || text.includes(' ')) return ['each item is one word, without spaces'];
  return PRINTABLE.test(text) ? text : ['a command line is printable ASCII'];
});

const ipv4Interface = converted('an address such as 10.0.0.1/24', value => {
  const parsed = parseIpv4Interface(String(value));
  return typeof parsed === 'string' ? [parsed] : parsed;
});

const impairment = {
  delay_ms: v.optional(numberBetween(0, limits.delay_ms)),
  jitter_ms: v.optional(numberBetween(0, limits.delay_ms)),
  loss: v.optional(
    converted<number>('a share such as 1% or 0.01', value => {
      return parseShare(value) ?? ['expected a share of the frames, such as 1% or 0.01'];
    }),
  ),
  rate_mbit: v.optional(numberBetween(0, limits.rate_mbit)),
  reorder: v.optional(v.boolean('expected true or false')),
  seed: v.optional(countBetween(0, 2 ** 32 - 1)),
};

const nic = shape(
  {
    network: name,
    ip: v.optional(ipv4Interface),
    mac: v.optional(
      converted<string>('an Ethernet address such as 02:00:00:00:00:01', value => {
        const parsed = parseMac(String(value));
        return typeof parsed === 'string' ? parsed : [parsed.problem];
      }),
    ),
    ...impairment,
  },
  'the keys of a NIC, such as { network: lan, ip: 10.0.0.1/24 }',
);

const disk = shape(
  {
    size: v.optional(sizeBetween(limits.disk_bytes)),
    base: v.optional(path),
    readonly: v.optional(v.boolean('expected true or false')),
  },
  'the keys of a disk, such as { size: 64MiB }',
);

const packageName = v.pipe(
  v.string('expected the name of a package'),
  v.regex(/^[a-z0-9][a-z0-9+.-]{1,63}$/, 'expected the name of a package of the distribution, such as nginx'),
);

const machine = {
  image: v.optional(name),
  packages: v.optional(
    v.pipe(
      v.array(packageName, 'expected a list of packages'),
      v.maxLength(limits.packages, `at most ${limits.packages} packages`),
      v.check(
        packages => packages.join().length <= limits.packagesLength,
        `the names of the packages have more than ${limits.packagesLength} characters: leave out those that others bring along`,
      ),
    ),
  ),
  kernel: v.optional(path),
  initrd: v.optional(path),
  cmdline: v.optional(cmdline),
  console: v.optional(v.picklist(['serial', 'virtio'], 'expected serial or virtio')),
  balloon: v.optional(v.boolean('expected true or false')),
  memory: v.optional(sizeBetween(limits.memory_bytes)),
  vcpus: v.optional(countBetween(1, limits.vcpus)),
};

/** A key with nothing after it means an empty list. */
const listOf = <const Item extends v.GenericSchema>(item: Item, most: number, what: string) =>
  v.nullish(
    v.pipe(v.array(item, `expected a list of ${what}`), v.maxLength(most, `at most ${most} ${what}`)),
    [],
  );

const vm = shape(
  {
    ...machine,
    args: listOf(word, limits.args, 'words'),
    nets: listOf(nic, limits.nets, 'NICs'),
    disks: listOf(disk, limits.disks, 'disks'),
  },
  'the keys of a virtual machine',
);

const interfaceName = v.pipe(
  v.string('expected the name of a network interface'),
  v.maxLength(limits.tapLength, `an interface name has at most ${limits.tapLength} characters`),
  v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/, 'expected the name of a network interface, such as tsvmm0'),
);
const tap = shape(
  {
    name: interfaceName,
    address: v.optional(ipv4Interface),
    offloads: v.optional(v.boolean('expected true or false')),
  },
  'the keys of a tap, such as { name: tsvmm0, address: 10.0.0.254/24 }',
);

const network = shape(
  {
    /** Its name alone, or all of it: a union would not say which of the keys is wrong. */
    tap: v.optional(v.lazy(input => (typeof input === 'object' && input !== null ? tap : interfaceName))),
    mtu: v.optional(countBetween(limits.mtu.minimum, limits.mtu.maximum)),
    ...impairment,
  },
  'the keys of a network',
);

export const clusterFile = shape(
  {
    name: v.optional(name),
    defaults: v.nullish(shape(machine, 'the keys of a virtual machine'), {}),
    vms: v.pipe(
      v.record(
        name,
        v.nullish(vm, {}),
        'expected the virtual machines by name, such as { server: { image: bench } }',
      ),
      v.minEntries(1, 'a cluster has at least one virtual machine'),
      v.maxEntries(limits.vms, `at most ${limits.vms} virtual machines`),
    ),
    networks: v.nullish(
      v.pipe(
        v.record(name, v.nullish(network, {}), 'expected the networks by name, such as { lan: {} }'),
        v.maxEntries(limits.networks, `at most ${limits.networks} networks`),
      ),
      {},
    ),
  },
  'the keys name, defaults, vms and networks',
);

export type ClusterFile = v.InferOutput<typeof clusterFile>;
export type VmEntry = ClusterFile['vms'][string];
export type NicEntry = VmEntry['nets'][number];
export type DiskEntry = VmEntry['disks'][number];
export type NetworkEntry = ClusterFile['networks'][string];
export type ImpairmentEntry = Pick<NicEntry, keyof typeof impairment>;
