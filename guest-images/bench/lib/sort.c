#include "lib/sort.h"

static void swap(u64 *a, u64 *b) {
  u64 value = *a;
  *a = *b;
  *b = value;
}

static void sift_down(u64 *values, u32 root, u32 count) {
  for (u32 child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && values[child + 1] > values[child]) child++;
    if (values[root] >= values[child]) return;
    swap(&values[root], &values[child]);
  }
}

void sort_u64(u64 *values, u32 count) {
  for (u32 root = count / 2; root-- > 0;) sift_down(values, root, count);
  for (u32 end = count; end > 1; end--) {
    swap(&values[0], &values[end - 1]);
    sift_down(values, 0, end - 1);
  }
}
