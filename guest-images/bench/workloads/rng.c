// Reads the random number device again and again: the bytes must not be all equal, nor those of the last
// time.
#include "virtio/rng.h"

#include "lib/fatal.h"
#include "lib/string.h"
#include "workloads/workload.h"

#define SHORTEST_CHECKED 16 // fewer bytes may well be equal

struct rng {
  u64 rate; // option; 0 = without a pause
  u64 seen, next_at;
  bool is_asked;
  struct rng_answer last;
};

static const struct option options[] = {
    {"rate", OPTION_RATE, offsetof(struct rng, rate), false, 10, 0, 1000000, NULL},
};

static bool is_all_equal(const u8 *bytes, u32 count) {
  for (u32 i = 1; i < count; i++)
    if (bytes[i] != bytes[0]) return false;
  return true;
}

static void check(const struct rng_answer *new, const struct rng_answer *last) {
  if (new->length == 0) fatal("rng: the device gave no bytes");
  if (new->length < SHORTEST_CHECKED) return;
  if (is_all_equal(new->bytes, new->length)) fatal("rng: %u equal bytes", new->length);
  if (new->length == last->length && memcmp(new->bytes, last->bytes, new->length) == 0)
    fatal("rng: the same %u bytes twice", new->length);
}

static void start(struct workload *workload) {
  struct rng *rng = workload->state;
  if (!rng_is_there()) fatal("rng: there is no virtio-rng device");
  rng->seen = rng_answer()->count;
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  (void)cpu;
  struct rng *rng = workload->state;
  const struct rng_answer *answer = rng_answer();
  if (answer->count != rng->seen) {
    check(answer, &rng->last);
    rng->last = *answer;
    rng->seen = answer->count;
    rng->is_asked = false;
    meter_add(&workload->meters[0], now, 1);
    rng->next_at = rng->rate ? max_u64(rng->next_at, now) + NS_PER_S / rng->rate : now;
  }
  if (rng->is_asked) return TIME_NEVER;
  if (now < rng->next_at) return rng->next_at;
  rng->is_asked = true;
  rng_ask();
  return TIME_NEVER;
}

const struct workload_kind workload_rng = {
    .name = "rng",
    .options = options,
    .option_count = array_length(options),
    .state_size = sizeof(struct rng),
    .start = start,
    .run = run,
};
