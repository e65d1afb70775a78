// The least that boots the bench guest: what "tsvmm bench exits" compares with. Fatal errors end the process.
#pragma once
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define KICK_SIGNAL 40
#define DEVICE_BASE 0xd0000000ull
#define DEVICE_PIN 5

struct machine {
  int kvm, vm, vcpu;
  struct kvm_run *run;
  uint8_t *ram;
  uint64_t ram_bytes;
  int notify_fd;                   // ioeventfd of the device's queue 0
  int interrupt_fd;                // irqfd of the device's pin
  volatile uint64_t interruptions; // times KVM_RUN came back by a signal
  volatile bool is_stopping;
};

_Noreturn void fail(const char *what);
uint64_t now_ns(void);

// Creates the VM with one vCPU and loads `image` (an ELF file with a PVH note) so that it starts with `cmdline`.
void machine_create(struct machine *machine, uint64_t ram_bytes, const char *image, const char *cmdline);

// Starts a thread that waits for notifications of the device, as a device model does, and takes each.
void machine_serve_device(struct machine *machine);

// Runs the vCPU until the guest's console says `until`, or is_stopping is set and KVM_RUN interrupted. Console lines
// go to stdout when `prints`.
void machine_run(struct machine *machine, const char *until, bool prints);

// boot.c
uint64_t load_image(struct machine *machine, const char *image);
void enter_pvh(struct machine *machine, uint64_t entry, const char *cmdline);
