#pragma once
#include "lib/types.h"

// Heap sort, ascending.
void sort_u64(u64 *values, u32 count);
