// The command line: workloads with their options, and the words that concern the whole guest.
#pragma once
#include "lib/types.h"
#include "workloads/workload.h"

#define WORKLOAD_MAX 8
#define DEVICE_MAX 16
#define NETWORK_MAX 4

struct device_word { // virtio_mmio.device=SIZE@ADDRESS:PIN
  u64 address;
  u32 pin;
};

struct network_word { // ip=A/N
  u32 address, prefix_length;
  bool is_given;
};

struct settings {
  u64 vcpus;
  const char *vm_name;
  u64 stat_ms, run_seconds, tick_hz, poll_us;
  u64 shows_boot;
  struct device_word devices[DEVICE_MAX];
  u32 device_count;
  struct network_word networks[NETWORK_MAX];
  u32 gateway; // gw=A
  struct workload workloads[WORKLOAD_MAX];
  u32 workload_count;
};

extern struct settings settings;

// Fatal, naming the word, if one is unknown, malformed or missing.
void settings_parse(const char *command_line);
