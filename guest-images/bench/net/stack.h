// The TCP/IP stack as a whole.
#pragma once
#include "lib/types.h"

// Starts lwIP and a network card for every ip= word.
void stack_start(void);
bool stack_is_there(void);

// Runs what is due; returns when it wants to be called again.
u64 stack_run(u64 now);

struct tcp_pcb;

// For an open connection: lets lwIP make segments as large as the network card can cut (TCP segmentation
// offload).
void stack_enlarge_segments(struct tcp_pcb *connection);

// How many bytes to give to lwIP at once so that it makes whole segments of them; a multiple of 8, at most
// 0xfff8 (its lengths have 16 bits).
u32 stack_piece_bytes(const struct tcp_pcb *connection);
#define STACK_PIECE_BYTES_MAX 0xfff8
