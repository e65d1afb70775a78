// What lwIP needs of <stdlib.h>.
#pragma once
#include <stddef.h>

int atoi(const char *text); // net/lwip_port.c
