// Port I/O, device registers in memory, and the time stamp counter. All of it works at CPL3.
#pragma once
#include "lib/types.h"

static inline void port_write8(u16 port, u8 value) {
  __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
static inline u8 port_read8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
// Many bytes to one port. An emulator stays in this one instruction, instead of one exit for each byte.
static inline void port_write8_many(u16 port, const char *bytes, u64 count) {
  __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(port) : "memory");
}
static inline void port_write32(u16 port, u32 value) {
  __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
static inline u32 port_read32(u16 port) {
  u32 value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

// Plain 32-bit moves: instruction emulators do not know vector moves to device memory.
static inline void mmio_write32(u64 address, u32 value) {
  __asm__ volatile("movl %0, %1" ::"r"(value), "m"(*(volatile u32 *)address) : "memory");
}
static inline u32 mmio_read32(u64 address) {
  u32 value;
  __asm__ volatile("movl %1, %0" : "=r"(value) : "m"(*(volatile u32 *)address) : "memory");
  return value;
}

// Not ordered with the instructions around it; see rdtsc_ordered.
static inline u64 rdtsc(void) {
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
  return low | (u64)high << 32;
}
static inline u64 rdtsc_ordered(void) {
  u32 low, high;
  __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
  return low | (u64)high << 32;
}
