// lwIP's port header: this compiler and this machine.
#pragma once
#include <stdint.h>

#define BYTE_ORDER LITTLE_ENDIAN
#define LWIP_PROVIDE_ERRNO 1
#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_UNISTD_H 1
#define X8_F "x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "lu"

// net/lwip_port.c
void lwip_port_message(const char *format, ...);
void lwip_port_assertion_failed(const char *message, const char *file, int line);
uint32_t lwip_port_random(void);

#define LWIP_PLATFORM_DIAG(arguments) \
  do {                                \
    lwip_port_message arguments;      \
  } while (0)
#define LWIP_PLATFORM_ASSERT(message) lwip_port_assertion_failed(message, __FILE__, __LINE__)
#define LWIP_RAND() lwip_port_random()
