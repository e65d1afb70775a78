// The end of a guest that found a promise broken.
#pragma once

// Says {"event":"fatal","why":"..."} and powers off. From any processor, at any time after console and IDT
// exist.
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
