#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define COM1 0x3f8
#define COM1_LINE_STATUS 0x3fd
#define TRANSMITTER_EMPTY 0x60
#define POWER_PORT 0x600
#define TSS_ADDRESS 0xfffbd000
#define IDENTITY_MAP_ADDRESS 0xfffbc000ull
#define CPUID_MAX 256
#define LINE_BYTES 4096

// virtio-mmio registers (virtio 1.2, section 4.2.2): a block device that nobody uses.
#define REGISTER_MAGIC 0x00
#define REGISTER_VERSION 0x04
#define REGISTER_DEVICE_ID 0x08
#define REGISTER_VENDOR_ID 0x0c
#define REGISTER_NOTIFY 0x50

void fail(const char *what) {
  perror(what);
  exit(1);
}

uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static void ask(int fd, unsigned long request, void *argument, const char *what) {
  if (ioctl(fd, request, argument) < 0) fail(what);
}

static void set_cpuid(struct machine *machine) {
  struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + CPUID_MAX * sizeof cpuid->entries[0]);
  cpuid->nent = CPUID_MAX;
  ask(machine->kvm, KVM_GET_SUPPORTED_CPUID, cpuid, "KVM_GET_SUPPORTED_CPUID");
  ask(machine->vcpu, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2");
  free(cpuid);
}

static void create_device(struct machine *machine) {
  machine->notify_fd = eventfd(0, EFD_CLOEXEC);
  machine->interrupt_fd = eventfd(0, EFD_CLOEXEC);
  struct kvm_ioeventfd notify = {.addr = DEVICE_BASE + REGISTER_NOTIFY,
                                 .len = 4,
                                 .fd = machine->notify_fd,
                                 .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};
  ask(machine->vm, KVM_IOEVENTFD, &notify, "KVM_IOEVENTFD");
  struct kvm_irqfd interrupt = {.fd = (unsigned)machine->interrupt_fd, .gsi = DEVICE_PIN};
  ask(machine->vm, KVM_IRQFD, &interrupt, "KVM_IRQFD");
}

static void *serve_device(void *argument) {
  struct machine *machine = argument;
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, machine->notify_fd, &event) < 0) fail("epoll_ctl");
  for (;;) {
    uint64_t count;
    if (epoll_wait(epoll, &event, 1, -1) == 1 && read(machine->notify_fd, &count, sizeof count) < 0) fail("read");
  }
}

void machine_serve_device(struct machine *machine) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, serve_device, machine) != 0) fail("pthread_create");
}

static void create_ram(struct machine *machine) {
  const uint64_t huge = 2 << 20;
  uint8_t *mapped = mmap(NULL, machine->ram_bytes + huge, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) fail("mmap");
  machine->ram = (uint8_t *)(((uintptr_t)mapped + huge - 1) & ~(huge - 1));
  madvise(machine->ram, machine->ram_bytes, MADV_HUGEPAGE);
  struct kvm_userspace_memory_region region = {.memory_size = machine->ram_bytes,
                                               .userspace_addr = (uintptr_t)machine->ram};
  ask(machine->vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

void machine_create(struct machine *machine, uint64_t ram_bytes, const char *image, const char *cmdline) {
  *machine = (struct machine){.ram_bytes = ram_bytes};
  machine->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (machine->kvm < 0) fail("/dev/kvm");
  machine->vm = ioctl(machine->kvm, KVM_CREATE_VM, 0);
  if (machine->vm < 0) fail("KVM_CREATE_VM");
  uint64_t identity_map = IDENTITY_MAP_ADDRESS;
  struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
  ask(machine->vm, KVM_SET_TSS_ADDR, (void *)TSS_ADDRESS, "KVM_SET_TSS_ADDR");
  ask(machine->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map, "KVM_SET_IDENTITY_MAP_ADDR");
  ask(machine->vm, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
  ask(machine->vm, KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2");
  create_ram(machine);

  machine->vcpu = ioctl(machine->vm, KVM_CREATE_VCPU, 0);
  if (machine->vcpu < 0) fail("KVM_CREATE_VCPU");
  int run_bytes = ioctl(machine->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  machine->run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
  if (machine->run == MAP_FAILED) fail("mmap of kvm_run");
  set_cpuid(machine);
  create_device(machine);

  char words[1024];
  snprintf(words, sizeof words, "%s virtio_mmio.device=4K@0x%llx:%d", cmdline, DEVICE_BASE, DEVICE_PIN);
  enter_pvh(machine, load_image(machine, image), words);
}

static uint32_t read_register(uint64_t offset) {
  switch (offset) {
    case REGISTER_MAGIC: return 0x74726976;
    case REGISTER_VERSION: return 2;
    case REGISTER_DEVICE_ID: return 2;
    case REGISTER_VENDOR_ID: return 0x4d565354;
    default: return 0;
  }
}

static void handle_mmio(struct kvm_run *run) {
  if (run->mmio.is_write) return;
  uint32_t value = read_register(run->mmio.phys_addr - DEVICE_BASE);
  memcpy(run->mmio.data, &value, sizeof value);
}

// The console's line so far; true when it is whole and contains `until`.
static bool take_byte(char byte, const char *until, bool prints) {
  static char line[LINE_BYTES];
  static size_t length;
  if (length < LINE_BYTES - 1) line[length++] = byte;
  if (byte != '\n') return false;
  line[length] = 0;
  length = 0;
  if (prints) fputs(line, stdout);
  return strstr(line, until) != NULL;
}

// True when the console has said `until`.
static bool handle_port(struct kvm_run *run, const char *until, bool prints) {
  uint8_t *data = (uint8_t *)run + run->io.data_offset;
  bool is_said = false;
  if (run->io.direction == KVM_EXIT_IO_IN) {
    memset(data, run->io.port == COM1_LINE_STATUS ? TRANSMITTER_EMPTY : 0xff, (size_t)run->io.size * run->io.count);
    return false;
  }
  if (run->io.port == POWER_PORT) exit(0);
  if (run->io.port != COM1) return false;
  for (uint32_t i = 0; i < run->io.count; i++) is_said |= take_byte((char)data[i], until, prints);
  return is_said;
}

void machine_run(struct machine *machine, const char *until, bool prints) {
  struct kvm_run *run = machine->run;
  for (;;) {
    if (ioctl(machine->vcpu, KVM_RUN, 0) < 0) {
      if (errno != EINTR) fail("KVM_RUN");
      run->immediate_exit = 0;
      machine->interruptions++;
      if (machine->is_stopping) return;
      continue;
    }
    switch (run->exit_reason) {
      case KVM_EXIT_IO:
        if (handle_port(run, until, prints)) return;
        break;
      case KVM_EXIT_MMIO: handle_mmio(run); break;
      default: fprintf(stderr, "KVM exit %u\n", run->exit_reason); exit(1);
    }
  }
}
