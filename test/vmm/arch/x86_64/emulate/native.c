/*
 * Runs single instructions on the CPU itself: struct state on standard input, the state behind the instruction on
 * standard output, as often as there is input. State is loaded and stored by the kernel, as a signal's frame holds all
 * of it: SIGUSR1 starts an instruction, SIGTRAP of the int3 behind it, or its fault, ends it.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { CODE = 0x20000000, DATA = 0x30000000, DATA_BYTES = 8192, AREA_BYTES = 4096, CODE_BYTES = 16 };
/* struct _fpx_sw_bytes of asm/sigcontext.h, at byte 464 of the frame's XSAVE area: magic1, then the whole size, ... */
enum { SW_BYTES = 464, SW_XSTATE_SIZE = 16 };

struct state {
    uint64_t registers[16]; /* in encoding order */
    uint64_t rflags, signal;
    uint8_t code[CODE_BYTES];
    uint8_t area[AREA_BYTES]; /* XSAVE area, standard format */
    uint8_t data[DATA_BYTES];
};

static struct state state;
static const int gregs[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
static ucontext_t before;

static size_t area_size(const uint8_t *area)
{
    uint32_t size;
    memcpy(&size, area + SW_BYTES + SW_XSTATE_SIZE, sizeof size);
    return size < AREA_BYTES ? size : AREA_BYTES;
}

/* All but the bytes that tell the kernel what the frame holds. */
static void copy_area(uint8_t *to, const uint8_t *from, size_t size)
{
    memcpy(to, from, SW_BYTES);
    memcpy(to + 512, from + 512, size - 512);
}

static void start(int signal, siginfo_t *info, void *pointer)
{
    ucontext_t *context = pointer;
    uint8_t *area = (uint8_t *)context->uc_mcontext.fpregs;
    before = *context;
    for (int i = 0; i < 16; i++)
        context->uc_mcontext.gregs[gregs[i]] = state.registers[i];
    context->uc_mcontext.gregs[REG_EFL] = state.rflags;
    context->uc_mcontext.gregs[REG_RIP] = CODE;
    copy_area(area, state.area, area_size(area));
    (void)signal, (void)info;
}

static void end(int signal, siginfo_t *info, void *pointer)
{
    ucontext_t *context = pointer;
    uint8_t *area = (uint8_t *)context->uc_mcontext.fpregs;
    for (int i = 0; i < 16; i++)
        state.registers[i] = context->uc_mcontext.gregs[gregs[i]];
    state.rflags = context->uc_mcontext.gregs[REG_EFL];
    state.signal = signal;
    copy_area(state.area, area, area_size(area));
    memcpy(context->uc_mcontext.gregs, before.uc_mcontext.gregs, sizeof before.uc_mcontext.gregs);
    (void)info;
}

int main(void)
{
    static uint8_t stack[65536];
    stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    sigaltstack(&alternate, NULL);
    struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
    action.sa_sigaction = start;
    sigaction(SIGUSR1, &action, NULL);
    action.sa_sigaction = end;
    int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
    int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap((void *)CODE, 4096, protection | PROT_EXEC, flags, -1, 0) == MAP_FAILED ||
        mmap((void *)DATA, DATA_BYTES, protection, flags, -1, 0) == MAP_FAILED)
        return 1;
    while (fread(&state, sizeof state, 1, stdin) == 1) {
        memset((void *)CODE, 0xcc, 4096);
        memcpy((void *)CODE, state.code, CODE_BYTES);
        memcpy((void *)DATA, state.data, DATA_BYTES);
        raise(SIGUSR1);
        memcpy(state.data, (void *)DATA, DATA_BYTES);
        if (fwrite(&state, sizeof state, 1, stdout) != 1)
            return 1;
    }
    return 0;
}
