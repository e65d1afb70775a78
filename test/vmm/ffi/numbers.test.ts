import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as virtio from '../../../vmm/devices/virtio/constants.ts';
import * as libc from '../../../vmm/ffi/libc.ts';
import * as constants from '../../../vmm/kvm/constants.ts';
import * as dirtyLog from '../../../vmm/kvm/dirty-log.ts';
import * as kvm from '../../../vmm/kvm/kvm.ts';
import * as vcpu from '../../../vmm/kvm/vcpu.ts';
import * as vm from '../../../vmm/kvm/vm.ts';
import * as userfaultfd from '../../../vmm/memory/userfaultfd.ts';
import { evaluateC, lacksCompiler } from '../../support/c-program.ts';
import { testUnless } from '../../support.ts';

const headers = [
  'fcntl.h',
  'sys/file.h',
  'sys/epoll.h',
  'sys/eventfd.h',
  'sys/ioctl.h',
  'sys/mman.h',
  'sys/syscall.h',
  'sys/uio.h',
  'linux/kvm.h',
  'linux/userfaultfd.h',
  'linux/virtio_config.h',
  'linux/virtio_ids.h',
  'linux/virtio_mmio.h',
  'linux/virtio_ring.h',
];
/** Which the headers of an older distribution lack. */
const recent = new Set([
  'KVM_EXIT_MEMORY_FAULT',
  'UFFDIO_MOVE',
  'UFFD_FEATURE_MOVE',
  'UFFD_FEATURE_WP_UNPOPULATED',
]);

type Numbers = Record<string, number | bigint>;
const named = (numbers: Numbers, name: (key: string) => string): Numbers =>
  Object.fromEntries(Object.entries(numbers).map(([key, value]) => [name(key), value]));
const prefixed = (prefix: string, numbers: Numbers): Numbers => named(numbers, key => `${prefix}${key}`);

const kvmFolder = join(import.meta.dirname, '../../../vmm/kvm');
const requests: Numbers = Object.fromEntries(
  [kvm, vm, vcpu, dirtyLog]
    .flatMap(module => Object.entries(module))
    .filter(([name]) => name.startsWith('KVM_')),
) as Numbers;
/** KVM_GET_VCPU_EVENTS is the only one whose name is not the state's. */
const stateName = (name: string): string =>
  name === 'events' ? 'VCPU_EVENTS' : name.replace(/[A-Z]/g, '_$&').toUpperCase();
for (const [name, { get, set }] of Object.entries(vcpu.vcpuStates)) {
  requests[`KVM_GET_${stateName(name)}`] = get;
  requests[`KVM_SET_${stateName(name)}`] = set;
}

/** Names whose C spelling follows no rule. */
const irregular: Numbers = {
  SYS_userfaultfd: userfaultfd.SYS_USERFAULTFD,
  KVM_API_VERSION: constants.KVM_API_VERSION,
  KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: constants.InternalError.UNEXPECTED_EXIT,
  KVM_EXIT_IO_OUT: constants.IO_OUT,
  KVM_IRQFD_FLAG_DEASSIGN: constants.IRQFD_FLAG_DEASSIGN,
  VRING_AVAIL_F_NO_INTERRUPT: virtio.AVAIL_NO_INTERRUPT,
  VRING_USED_F_NO_NOTIFY: virtio.USED_NO_NOTIFY,
  VIRTIO_MMIO_INT_VRING: virtio.Interrupt.USED_BUFFER,
  VIRTIO_MMIO_INT_CONFIG: virtio.Interrupt.CONFIG_CHANGE,
  '1ull << VIRTIO_RING_F_INDIRECT_DESC': virtio.Feature.INDIRECT_DESC,
  '1ull << VIRTIO_RING_F_EVENT_IDX': virtio.Feature.EVENT_IDX,
  '1ull << VIRTIO_F_VERSION_1': virtio.Feature.VERSION_1,
  'sizeof(struct vring_desc)': virtio.Descriptor.SIZE,
};

const { UNEXPECTED_EXIT: _named, ...internalErrors } = constants.InternalError;
const { SIZE: _measured, ...descriptorFlags } = virtio.Descriptor;
const { ENTROPY, ...deviceIds } = virtio.DeviceId;
const userfaultRequests = Object.fromEntries(
  Object.entries(userfaultfd).filter(([name]) => /^(UFFDIO_|USERFAULTFD_IOC)/.test(name)),
) as Numbers;
const tables: Record<string, Numbers> = {
  'libc PROT': prefixed('PROT_', libc.PROT),
  'libc MAP': prefixed('MAP_', libc.MAP),
  'libc MADV': prefixed('MADV_', libc.MADV),
  'libc O': prefixed('O_', libc.O),
  'libc EFD': prefixed('EFD_', libc.EFD),
  'libc RWF': prefixed('RWF_', libc.RWF),
  'libc FALLOC': prefixed('FALLOC_FL_', libc.FALLOC),
  'libc SYNC_FILE_RANGE': prefixed('SYNC_FILE_RANGE_', libc.SYNC_FILE_RANGE),
  'libc FADV': prefixed('POSIX_FADV_', libc.FADV),
  'libc LOCK': named(
    libc.LOCK,
    key => `LOCK_${{ SHARED: 'SH', EXCLUSIVE: 'EX', NONBLOCK: 'NB' }[key] ?? 'UN'}`,
  ),
  'libc EPOLL': named(libc.EPOLL, key => (key.startsWith('CTL_') ? `EPOLL_${key}` : `EPOLL${key}`)),
  'kvm Capability': prefixed('KVM_CAP_', constants.Capability),
  'kvm ExitReason': prefixed('KVM_EXIT_', constants.ExitReason),
  'kvm InternalError': prefixed('KVM_INTERNAL_ERROR_', internalErrors),
  'kvm SystemEvent': prefixed('KVM_SYSTEM_EVENT_', constants.SystemEvent),
  'kvm SyncRegs': prefixed('KVM_SYNC_X86_', constants.SyncRegs),
  'kvm IOEVENTFD_FLAG': named(
    constants.IOEVENTFD_FLAG,
    key => `1 << kvm_ioeventfd_flag_nr_${key.toLowerCase()}`,
  ),
  'virtio Status': named(virtio.Status, key => `VIRTIO_CONFIG_S_${key}`),
  'virtio Descriptor': prefixed('VRING_DESC_F_', descriptorFlags),
  'virtio DeviceId': { VIRTIO_ID_RNG: ENTROPY, ...prefixed('VIRTIO_ID_', deviceIds) },
  'userfaultfd requests': userfaultRequests,
  'userfaultfd features': prefixed('UFFD_FEATURE_', userfaultfd.UserfaultFeature),
  'userfaultfd modes': prefixed('UFFDIO_REGISTER_MODE_', userfaultfd.RegisterMode),
  irregular,
  'ioctl request': requests,
};

const test = suite('numbers');

test('ioctl requests: every number computed in vmm/kvm is exported, so that it is compared here', () => {
  const sources = readdirSync(kvmFolder).map(file => readFileSync(join(kvmFolder, file), 'utf8'));
  const computed = sources.flatMap(source => source.match(/(?<=[=:] )(io|ior|iow|iowr)\(0x/g) ?? []);
  assert.is(Object.keys(requests).length, computed.length);
});

test('libc: every table of constants is compared here', () => {
  const exported = Object.entries(libc).filter(([, value]) => typeof value === 'object');
  for (const [name] of exported) assert.ok(tables[`libc ${name}`] !== undefined, name);
});

for (const [table, numbers] of Object.entries(tables)) {
  testUnless(lacksCompiler(), test, `${table}: every number is the one of the C headers`, () => {
    const actual = evaluateC({ headers, expressions: Object.keys(numbers) });
    for (const [name, value] of Object.entries(numbers)) {
      const expected = actual.get(name);
      if (expected === undefined && recent.has(name)) continue;
      // ioctl requests and EPOLLET are unsigned; C prints them as it likes.
      assert.is(expected === undefined ? undefined : BigInt.asUintN(64, expected), BigInt(value), name);
    }
  });
}

test.run();
