// What lwIP needs of <limits.h>: gcc's own wants the system's as well.
#pragma once
#define INT_MAX __INT_MAX__
#define UINT_MAX (INT_MAX * 2u + 1u)
#define SSIZE_MAX __LONG_MAX__
typedef long ssize_t;
