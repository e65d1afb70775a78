// Multiplies matrices on every processor and checks each product. The numbers are whole, so the sums are
// exact, and they live in SSE registers, so a lost or swapped vector register shows.
#include "lib/fatal.h"
#include "lib/random.h"
#include "memory/memory.h"
#include "workloads/workload.h"

#define SIDE 64
#define ENTRY_MASK 1023 // sums stay below 2^53

struct matrices {
  double left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];
  u64 random;
};

struct cpu_state {
  struct matrices *of_cpu[CPU_COUNT_MAX];
};

static double random_entry(struct matrices *m) {
  m->random += 0x9e3779b97f4a7c15;
  return (double)(mix_u64(m->random) & ENTRY_MASK);
}

static void fill(struct matrices *m, double (*matrix)[SIDE]) {
  for (u32 row = 0; row < SIDE; row++)
    for (u32 column = 0; column < SIDE; column++) matrix[row][column] = random_entry(m);
}

static void multiply(struct matrices *m) {
  for (u32 row = 0; row < SIDE; row++) {
    double *sum = m->product[row];
    for (u32 column = 0; column < SIDE; column++) sum[column] = 0;
    for (u32 k = 0; k < SIDE; k++)
      for (u32 column = 0; column < SIDE; column++) sum[column] += m->left[row][k] * m->right[k][column];
  }
}

static void apply(double (*matrix)[SIDE], const double *vector, double *result) {
  for (u32 row = 0; row < SIDE; row++) {
    double sum = 0;
    for (u32 column = 0; column < SIDE; column++) sum += matrix[row][column] * vector[column];
    result[row] = sum;
  }
}

// Freivalds' check: product * v = left * (right * v) for a random v.
static void check(struct matrices *m, u32 cpu_index) {
  double vector[SIDE], inner[SIDE], expected[SIDE], found[SIDE];
  for (u32 i = 0; i < SIDE; i++) vector[i] = random_entry(m);
  apply(m->right, vector, inner);
  apply(m->left, inner, expected);
  apply(m->product, vector, found);
  for (u32 row = 0; row < SIDE; row++)
    if (expected[row] != found[row]) fatal("cpu: wrong matrix product in row %u on vCPU %u", row, cpu_index);
}

static void start(struct workload *workload) {
  struct cpu_state *state = workload->state;
  for (u32 i = 0; i < cpu_count; i++) {
    state->of_cpu[i] = memory_take(sizeof(struct matrices), PAGE_BYTES);
    state->of_cpu[i]->random = i;
  }
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  (void)now;
  struct cpu_state *state = workload->state;
  struct matrices *m = state->of_cpu[cpu->index];
  fill(m, m->left);
  fill(m, m->right);
  multiply(m);
  check(m, cpu->index);
  meter_add(&workload->meters[cpu->index], clock_now(cpu), 1);
  return RUN_AGAIN;
}

const struct workload_kind workload_cpu = {
    .name = "cpu",
    .state_size = sizeof(struct cpu_state),
    .runs_everywhere = true,
    .start = start,
    .run = run,
};
