// native-exits IMAGE guest WORDS      boots the bench guest, prints its console up to {"event":"measured"}
// native-exits IMAGE kick WORDS N     interrupts a running guest N times
// native-exits IMAGE irqfd WORDS N    signals an irqfd N times and waits for the guest's answer (echo-guest.S)
// native-exits IMAGE irqline WORDS N  the same, the interrupt raised by KVM_IRQ_LINE
// native-exits IMAGE enter WORDS N    enters KVM_RUN N times with immediate_exit set
// All but the first print one line: {"name":..,"n":..,"min_ns":..,"median_ns":..,"p99_ns":..}
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine.h"

#define RAM_BYTES (64ull << 20)
#define ANSWER_PORT 0xe8
#define ANSWER_LIMIT_MS 5000
#define READY "\"event\":\"ready\""

struct vcpu_thread {
  struct machine *machine;
  volatile pid_t id;
};

static void do_nothing(int signal) { (void)signal; }

static int compare(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

static void report(const char *name, uint64_t *samples, size_t count) {
  qsort(samples, count, sizeof *samples, compare);
  printf("{\"event\":\"measure\",\"name\":\"%s\",\"n\":%zu,\"min_ns\":%lu,\"median_ns\":%lu,\"p99_ns\":%lu}\n", name,
         count, samples[0], samples[count / 2], samples[count * 99 / 100]);
}

static void *run_vcpu(void *argument) {
  struct vcpu_thread *thread = argument;
  thread->id = (pid_t)syscall(SYS_gettid);
  machine_run(thread->machine, "never said", false);
  return NULL;
}

static void start_vcpu(struct vcpu_thread *thread, struct machine *machine, pthread_t *handle) {
  struct sigaction action = {.sa_handler = do_nothing};
  sigaction(KICK_SIGNAL, &action, NULL);
  thread->machine = machine;
  machine_run(machine, READY, false);
  if (pthread_create(handle, NULL, run_vcpu, thread) != 0) fail("pthread_create");
  while (thread->id == 0) usleep(100);
  usleep(20000); // into the guest
}

static void kick(const struct vcpu_thread *thread) {
  thread->machine->run->immediate_exit = 1;
  syscall(SYS_tgkill, getpid(), thread->id, KICK_SIGNAL);
}

static void stop_vcpu(const struct vcpu_thread *thread, pthread_t handle) {
  thread->machine->is_stopping = true;
  kick(thread);
  pthread_join(handle, NULL);
}

static void measure_kick(struct machine *machine, uint64_t *samples, size_t count) {
  struct vcpu_thread thread = {0};
  pthread_t handle;
  start_vcpu(&thread, machine, &handle);
  for (size_t i = 0; i < count; i++) {
    uint64_t before = machine->interruptions, started = now_ns();
    kick(&thread);
    while (machine->interruptions == before);
    samples[i] = now_ns() - started;
    usleep(50);
  }
  stop_vcpu(&thread, handle);
  report("kick", samples, count);
}

static void signal_irqfd(struct machine *machine) {
  uint64_t value = 1;
  if (write(machine->interrupt_fd, &value, sizeof value) < 0) fail("irqfd");
}

static void set_irq_line(struct machine *machine) {
  struct kvm_irq_level high = {.irq = DEVICE_PIN, .level = 1}, low = {.irq = DEVICE_PIN};
  if (ioctl(machine->vm, KVM_IRQ_LINE, &high) < 0 || ioctl(machine->vm, KVM_IRQ_LINE, &low) < 0) fail("KVM_IRQ_LINE");
}

static void measure_interrupt(struct machine *machine, const char *name, void (*raise)(struct machine *),
                              uint64_t *samples, size_t count) {
  int answer_fd = eventfd(0, EFD_CLOEXEC);
  struct kvm_ioeventfd answer = {.addr = ANSWER_PORT, .len = 1, .fd = answer_fd, .flags = KVM_IOEVENTFD_FLAG_PIO};
  if (ioctl(machine->vm, KVM_IOEVENTFD, &answer) < 0) fail("KVM_IOEVENTFD");
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, answer_fd, &event) < 0) fail("epoll_ctl");
  struct vcpu_thread thread = {0};
  pthread_t handle;
  start_vcpu(&thread, machine, &handle);
  for (size_t i = 0; i < count; i++) {
    uint64_t value, started = now_ns();
    raise(machine);
    if (epoll_wait(epoll, &event, 1, ANSWER_LIMIT_MS) != 1) fail("answer of the guest");
    if (read(answer_fd, &value, sizeof value) < 0) fail("ioeventfd");
    samples[i] = now_ns() - started;
    usleep(50);
  }
  stop_vcpu(&thread, handle);
  report(name, samples, count);
}

static void measure_enter(struct machine *machine, uint64_t *samples, size_t count) {
  machine->run->immediate_exit = 1;
  for (size_t i = 0; i < count; i++) {
    uint64_t started = now_ns();
    ioctl(machine->vcpu, KVM_RUN, 0);
    samples[i] = now_ns() - started;
  }
  report("enter", samples, count);
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: native-exits IMAGE guest|kick|irqfd|irqline|enter WORDS [N]\n");
    return 2;
  }
  const char *mode = argv[2];
  size_t count = argc > 4 ? strtoul(argv[4], NULL, 10) : 1;
  uint64_t *samples = calloc(count, sizeof *samples);
  static struct machine machine; // its threads may outlive main
  machine_create(&machine, RAM_BYTES, argv[1], argv[3]);
  machine_serve_device(&machine);
  if (strcmp(mode, "guest") == 0) machine_run(&machine, "\"event\":\"measured\"", true);
  else if (strcmp(mode, "kick") == 0) measure_kick(&machine, samples, count);
  else if (strcmp(mode, "irqfd") == 0)
    measure_interrupt(&machine, "irqfd_round_trip", signal_irqfd, samples, count);
  else if (strcmp(mode, "irqline") == 0)
    measure_interrupt(&machine, "irqline_round_trip", set_irq_line, samples, count);
  else if (strcmp(mode, "enter") == 0) measure_enter(&machine, samples, count);
  free(samples);
  return 0;
}
