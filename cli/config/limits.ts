import { LINUX_CMDLINE_BYTES } from '../../vmm/boot/command-line.ts';
import { GIB, MIB } from '../../vmm/memory/address.ts';

/** Bounds of a cluster file. docs/cluster-file.md repeats them for users. */
export const limits = {
  file_bytes: 1 * MIB,
  /** Problems that are listed before "and N more". */
  problems: 20,
  /** Of clusters, virtual machines and networks. */
  nameLength: 40,
  vms: 256,
  networks: 64,
  nets: 8,
  disks: 8,
  vcpus: 64,
  memory_bytes: { minimum: 8 * MIB, maximum: 1024 * GIB, multiple: 2 * MIB },
  disk_bytes: { minimum: 4096, maximum: 16 * 1024 * GIB, multiple: 4096 },
  args: 64,
  /** Of the distribution, in an image. */
  packages: 16,
  /** Characters of their names with a comma between each two: a folder is called so, behind the image's name. */
  packagesLength: 240,
  /** Characters of a kernel's command line; with our words it must fit what the kernel takes. */
  cmdlineLength: LINUX_CMDLINE_BYTES,
  pathLength: 4095,
  /** Characters of a network interface's name (IFNAMSIZ less the final zero). */
  tapLength: 15,
  /** RFC 791 wants hosts to take 68 bytes; an IPv4 packet has 65535 at most. */
  mtu: { minimum: 68, maximum: 65_535 },
  /** The kernel's bound for a TAP device: the largest packet less an Ethernet header (drivers/net/tun.c). */
  tapMtu: 65_521,
  delay_ms: 60_000,
  rate_mbit: 1_000_000,
} as const;

/** What a cluster, a virtual machine or a network may be called, besides the length: names become file names. */
export const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
