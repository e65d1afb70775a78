#include "settings.h"

#include "lib/fatal.h"
#include "lib/parse.h"
#include "lib/string.h"
#include "memory/memory.h"

#define STATE_ALIGNMENT 64
#define WORD_BYTES 512

struct settings settings;

static const char *const no_yes[] = {"0", "1", NULL};

static const struct option guest_options[] = {
    {"vcpus", OPTION_NUMBER, offsetof(struct settings, vcpus), false, 1, 1, CPU_COUNT_MAX, NULL},
    {"vm", OPTION_TEXT, offsetof(struct settings, vm_name), false, 0, 0, 0, NULL},
    {"stat", OPTION_NUMBER, offsetof(struct settings, stat_ms), false, 1000, 0, 3600000, NULL},
    {"run", OPTION_NUMBER, offsetof(struct settings, run_seconds), false, 0, 0, 1000000, NULL},
    {"tick", OPTION_NUMBER, offsetof(struct settings, tick_hz), false, 0, 0, 10000, NULL},
    {"poll", OPTION_NUMBER, offsetof(struct settings, poll_us), false, 0, 0, 1000, NULL},
    {"boot", OPTION_CHOICE, offsetof(struct settings, shows_boot), false, 0, 0, 0, no_yes},
};

static void add_workload(const char *name) {
  const struct workload_kind *kind = NULL;
  for (u32 i = 0; i < workload_kind_count; i++)
    if (strcmp(workload_kinds[i]->name, name) == 0) kind = workload_kinds[i];
  if (!kind) fatal("unknown word %s", name);
  if (settings.workload_count == WORKLOAD_MAX) fatal("more than %u workloads", WORKLOAD_MAX);
  struct workload *workload = &settings.workloads[settings.workload_count++];
  workload->kind = kind;
  workload->state = memory_take(max_u64(kind->state_size, 1), STATE_ALIGNMENT);
  options_set_fallbacks(kind->options, kind->option_count, workload->state);
}

// SIZE@ADDRESS:PIN, as Linux has it (Documentation/admin-guide/kernel-parameters.txt).
static bool add_device(const char *text) {
  u64 size, address, pin;
  if (!parse_size(&text, &size) || *text++ != '@') return false;
  if (!parse_number(&text, &address) || *text++ != ':') return false;
  if (!parse_number(&text, &pin) || *text || pin > 0xff) return false;
  if (settings.device_count == DEVICE_MAX) fatal("more than %u virtio devices", DEVICE_MAX);
  settings.devices[settings.device_count++] = (struct device_word){address, (u32)pin};
  return true;
}

static bool add_network(u64 index, const char *text) {
  u64 prefix_length;
  struct network_word network = {.is_given = true};
  if (index >= NETWORK_MAX || !parse_ipv4(&text, &network.address) || *text++ != '/') return false;
  if (!parse_whole_number(text, &prefix_length) || prefix_length > 32) return false;
  network.prefix_length = (u32)prefix_length;
  settings.networks[index] = network;
  return true;
}

static const char *behind_prefix(const char *word, const char *prefix) {
  size_t length = strlen(prefix);
  return strncmp(word, prefix, length) == 0 ? word + length : NULL;
}

// gw=, ip=, ip1=, ip2= ...; false if the word is another one.
static bool set_network(const char *word) {
  const char *gateway = behind_prefix(word, "gw=");
  if (gateway && (!parse_ipv4(&gateway, &settings.gateway) || *gateway))
    fatal("bad value in the word %s", word);
  if (gateway) return true;
  const char *cursor = behind_prefix(word, "ip");
  u64 index = 0;
  if (!cursor || (*cursor != '=' && !parse_number(&cursor, &index)) || *cursor != '=') return false;
  if (!add_network(index, cursor + 1)) fatal("bad value in the word %s", word);
  return true;
}

static bool set_guest_word(const char *word) {
  const char *device = behind_prefix(word, "virtio_mmio.device=");
  if (device && !add_device(device)) fatal("bad value in the word %s", word);
  if (device || set_network(word)) return true;
  return options_set(guest_options, array_length(guest_options), &settings, word);
}

static void take_word(const char *word, bool *expects_name) {
  bool is_option = text_find(word, '=') != NULL;
  if (strcmp(word, "+") == 0) {
    if (*expects_name) fatal("a + without a workload before it");
    *expects_name = true;
    return;
  }
  if (!is_option) {
    if (!*expects_name) fatal("unexpected word %s: workloads are joined by +", word);
    add_workload(word);
    *expects_name = false;
    return;
  }
  if (strcmp(word, "probe=exits") == 0) { // the workload `exits` beside others
    add_workload("exits");
    *expects_name = false;
    return;
  }
  if (set_guest_word(word)) return;
  if (settings.workload_count == 0 || *expects_name) fatal("unknown word %s", word);
  struct workload *last = &settings.workloads[settings.workload_count - 1];
  if (!options_set(last->kind->options, last->kind->option_count, last->state, word))
    fatal("unknown word %s of the workload %s", word, last->kind->name);
}

// Copies the next word to where it stays. A + is a word by itself.
static const char *next_word(const char **cursor) {
  while (**cursor == ' ') ++*cursor;
  const char *start = *cursor;
  if (!*start) return NULL;
  if (*start == '+')
    ++*cursor;
  else
    while (**cursor && **cursor != ' ' && **cursor != '+') ++*cursor;
  size_t length = (size_t)(*cursor - start);
  if (length >= WORD_BYTES) fatal("a word of the command line is longer than %u bytes", WORD_BYTES - 1);
  char *word = memory_take(length + 1, 1);
  memcpy(word, start, length);
  word[length] = 0;
  return word;
}

static void check_workloads(void) {
  for (u32 i = 0; i < settings.workload_count; i++) {
    const struct workload *workload = &settings.workloads[i];
    options_require(workload->kind->options, workload->kind->option_count, workload->state,
                    workload->kind->name);
    if (workload->kind->runs_alone && settings.workload_count > 1)
      fatal("the workload %s cannot be joined with others", workload->kind->name);
  }
}

void settings_parse(const char *command_line) {
  options_set_fallbacks(guest_options, array_length(guest_options), &settings);
  settings.vm_name = "";
  bool expects_name = true;
  for (const char *word; (word = next_word(&command_line));) take_word(word, &expects_name);
  if (settings.workload_count == 0)
    add_workload("idle");
  else if (expects_name)
    fatal("a + without a workload behind it");
  check_workloads();
}
