// The ways to write a stamp into a page: as many kinds of memory access as a snapshot has to cope with.
#pragma once
#include "workloads/page_stamp.h"

enum page_style { STYLE_MOV, STYLE_STOS, STYLE_ATOMIC, STYLE_PUSH, STYLE_KERNEL, STYLE_MIXED };
#define PAGE_STYLE_NAMES "mov", "stos", "atomic", "push", "kernel", "mixed"

// The style of one page: STYLE_MIXED gives every page one of the others, for good.
static inline enum page_style page_style_of(enum page_style style, u64 page) {
  return style == STYLE_MIXED ? (enum page_style)(page % STYLE_MIXED) : style;
}

// Where in its page the stamp is. It moves from page to page, or all stamps would share a few cache sets; not
// for STYLE_KERNEL, whose loop has a fixed step.
static inline u64 page_stamp_offset(enum page_style style, u64 page) {
  return style == STYLE_KERNEL ? 0 : page % 64 * 64;
}

// True if the page at `address` has this stamp (and, in STYLE_STOS, is filled with it).
bool page_has_stamp(u64 address, u64 page, enum page_style style, struct page_stamp stamp);

// Replaces `old` by `new`, the next generation. `is_first`: the page has no stamp yet. False if an atomic
// operation found something else than `old`.
bool page_write_stamp(u64 address, u64 page, enum page_style style, struct page_stamp old,
                      struct page_stamp new, bool is_first);

// STYLE_KERNEL only: stamps `count` pages in a row.
void page_write_stamps_kernel(u64 address, u64 page, u64 generation, u32 count);
