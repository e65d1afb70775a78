#include "workloads/page_styles.h"

#include "cpu/gate.h"
#include "memory/memory.h"

#define WORDS (PAGE_BYTES / sizeof(u64))

static volatile u64 *stamp_words(u64 address, u64 page, enum page_style style) {
  return (volatile u64 *)(address + page_stamp_offset(style, page));
}

// STYLE_STOS leaves the first word all over the page but for the place of the second word.
static bool is_filled(u64 address, u64 first) {
  const volatile u64 *words = (const volatile u64 *)address;
  for (u64 i = 4; i < WORDS; i += 64)
    if (words[i] != first) return false;
  return words[WORDS - 1] == first;
}

bool page_has_stamp(u64 address, u64 page, enum page_style style, struct page_stamp stamp) {
  const volatile u64 *words = stamp_words(address, page, style);
  if (words[0] != stamp.first || words[1] != stamp.second) return false;
  return style != STYLE_STOS || is_filled(address, stamp.first);
}

static void write_stos(u64 address, volatile u64 *words, struct page_stamp new) {
  u64 count = WORDS;
  __asm__ volatile("rep stosq" : "+D"(address), "+c"(count) : "a"(new.first) : "memory");
  words[1] = new.second;
}

// The generation decides between xadd, cmpxchg and lock add for the first word; the second is exchanged.
static bool write_atomic(volatile u64 *words, struct page_stamp old, struct page_stamp new, bool is_first) {
  u64 found = old.first;
  if (is_first)
    __atomic_store_n(&words[0], new.first, __ATOMIC_SEQ_CST); // xchg
  else if (new.first % 3 == 0)
    found = __atomic_fetch_add(&words[0], new.first - old.first, __ATOMIC_SEQ_CST);
  else if (new.first % 3 == 1)
    __atomic_compare_exchange_n(&words[0], &found, new.first, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  else
    __asm__ volatile("lock addq %1, %0" : "+m"(words[0]) : "r"(new.first - old.first) : "memory", "cc");
  u64 found_second = __atomic_exchange_n(&words[1], new.second, __ATOMIC_SEQ_CST);
  return is_first || (found == old.first && found_second == old.second);
}

// The stack pointer goes into the page for two pushes. Interrupts are no danger: CPL0 has its own stack.
static void write_push(volatile u64 *words, struct page_stamp new) {
  u64 saved;
  __asm__ volatile(
      "movq %%rsp, %0\n\t"
      "movq %1, %%rsp\n\t"
      "pushq %2\n\t"
      "pushq %3\n\t"
      "movq %0, %%rsp"
      : "=&r"(saved)
      : "r"(words + 2), "r"(new.second), "r"(new.first)
      : "memory");
}

bool page_write_stamp(u64 address, u64 page, enum page_style style, struct page_stamp old,
                      struct page_stamp new, bool is_first) {
  volatile u64 *words = stamp_words(address, page, style);
  switch (style) {
    case STYLE_STOS: write_stos(address, words, new); break;
    case STYLE_ATOMIC: return write_atomic(words, old, new, is_first);
    case STYLE_PUSH: write_push(words, new); break;
    case STYLE_KERNEL: gate_store_pages((u64)words, 0, new.first, 0, STAMP_MULTIPLIER, 1); break;
    default: words[0] = new.first; words[1] = new.second;
  }
  return true;
}

void page_write_stamps_kernel(u64 address, u64 page, u64 generation, u32 count) {
  gate_store_pages(address, PAGE_BYTES, page_stamp(page, generation).first, 1ull << 32, STAMP_MULTIPLIER,
                   count);
}
