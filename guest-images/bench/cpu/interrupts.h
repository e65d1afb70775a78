// Interrupts only leave a mark (interrupts.S); who waits for one looks here.
#pragma once
#include "cpu/layout.h"
#include "lib/types.h"

// One byte for each vector, set by the interrupt, cleared by the code that handles its cause.
extern volatile u8 interrupt_pending[256];

// Fills the descriptor table. Before that any exception is a triple fault.
void interrupts_prepare(void);

// Delivers pin `pin` of the I/O APIC (0 to 23; 24 and up: of the second one) to the first processor,
// edge-triggered. Returns its vector.
u8 interrupts_enable_pin(u32 pin);
