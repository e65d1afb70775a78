import type { HostKind } from '../../kvm/host-kind.ts';

/** Words of the kernel's command line (Documentation/admin-guide/kernel-parameters.rst), and why a KVM in software wants them. */
const softwareWords: readonly (readonly [key: string, word: string])[] = [
  // KVM cannot set the processor's TSC there: only kvmclock goes on at the cut after a restore.
  ['clocksource', 'clocksource=kvm-clock'],
  // KVM shows these whatever it is told, and does not know their instructions, or interprets them one byte at a time:
  // the kernel has other ways, so that fewer instructions have to be completed here.
  ['clearcpuid', 'clearcpuid=smap,cx16,popcnt,erms,fsrm,ssse3'],
  // System calls come in by a way that separate page tables for programs would close. Programs cannot read the kernel's
  // memory there in any case: shadow page tables have their own.
  ['pti', 'nopti'],
  // Walks through all of the kernel's page tables, two seconds long.
  ['rodata', 'rodata=off'],
];

/** What users may write instead of a key. Other values of "mitigations" leave it to the kernel. */
const synonyms: Readonly<Record<string, readonly string[]>> = { pti: ['nopti', 'mitigations=off'] };

/** What a Linux kernel is told on a host of this kind, unless its command line says something about it already. */
export function linuxHostWords(cmdline: string, kind: HostKind): string[] {
  if (kind !== 'software') return [];
  const given = new Set(cmdline.split(/\s+/).flatMap(word => [word, word.split('=')[0] ?? '']));
  return softwareWords
    .filter(([key]) => ![key, ...(synonyms[key] ?? [])].some(name => given.has(name)))
    .map(([, word]) => word);
}
