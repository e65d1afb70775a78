/*
 * Runs single instructions on write-protected pages and tells which pages the CPU wanted to write: struct request on
 * standard input; struct response, followed by its faults, on standard output. A page is made writable at its first fault,
 * until the instruction is through and runs into the int3 behind it.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* All below 4 GiB, for compatibility mode. */
enum { CODE = 0x20000000, DATA = 0x30000000, DATA_BYTES = 64 * 4096, PAGE = 4096, FAULTS = 64 };
enum { USER_CS32 = 0x23, USER_DS = 0x2b, PAGE_FAULT = 14, WRITE_ACCESS = 2 };
enum { ARCH_SET_GS = 0x1001, ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };

struct request {
    uint64_t registers[16]; /* in encoding order */
    uint64_t rflags, gs_base;
    uint64_t mode; /* 32 or 64 */
    uint8_t code[16];
};
struct fault {
    uint64_t address, registers[17]; /* the last one is RIP */
};
struct response {
    uint64_t signal, rip, count;
};

uint64_t start_registers[16], start_rflags;
uint64_t target = CODE;
struct __attribute__((packed)) { uint32_t offset; uint16_t selector; } far_target = { CODE, USER_CS32 };
static uint8_t vectors[32][64];
static int has_avx, has_avx512, has_amx;
static struct fault faults[FAULTS];
static struct response response;
static sigjmp_buf done;

static const int gregs[17] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8,
                               REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP };

static void on_signal(int signal, siginfo_t *info, void *context)
{
    greg_t *state = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t address = (uint64_t)info->si_addr;
    if (signal == SIGSEGV && state[REG_TRAPNO] == PAGE_FAULT && (state[REG_ERR] & WRITE_ACCESS) &&
        address - DATA < DATA_BYTES && response.count < FAULTS) {
        struct fault *fault = &faults[response.count++];
        fault->address = address;
        for (int i = 0; i < 17; i++)
            fault->registers[i] = state[gregs[i]];
        mprotect((void *)(address & -PAGE), PAGE, PROT_READ | PROT_WRITE);
        return;
    }
    response.signal = signal;
    response.rip = state[REG_RIP];
    siglongjmp(done, 1);
}

#define LOAD_REGISTERS                                                                                            \
    "pushq start_rflags(%rip)\n popfq\n"                                                                          \
    "mov start_registers+0(%rip), %rax\n mov start_registers+8(%rip), %rcx\n"                                     \
    "mov start_registers+16(%rip), %rdx\n mov start_registers+24(%rip), %rbx\n"                                   \
    "mov start_registers+40(%rip), %rbp\n mov start_registers+48(%rip), %rsi\n"                                   \
    "mov start_registers+56(%rip), %rdi\n mov start_registers+64(%rip), %r8\n"                                    \
    "mov start_registers+72(%rip), %r9\n mov start_registers+80(%rip), %r10\n"                                    \
    "mov start_registers+88(%rip), %r11\n mov start_registers+96(%rip), %r12\n"                                   \
    "mov start_registers+104(%rip), %r13\n mov start_registers+112(%rip), %r14\n"                                 \
    "mov start_registers+120(%rip), %r15\n mov start_registers+32(%rip), %rsp\n"

void enter64(void);
void enter32(void);
__asm__("enter64:\n" LOAD_REGISTERS "jmp *target(%rip)\n"
        "enter32:\n" LOAD_REGISTERS "ljmp *far_target(%rip)\n");

__attribute__((target("avx512f,avx512bw"))) static void load_avx512(void)
{
#define LOAD(n) __asm__ volatile("vmovdqu64 %0, %%zmm" #n : : "m"(vectors[n]));
    LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9) LOAD(10) LOAD(11) LOAD(12)
    LOAD(13) LOAD(14) LOAD(15) LOAD(16) LOAD(17) LOAD(18) LOAD(19) LOAD(20) LOAD(21) LOAD(22) LOAD(23) LOAD(24)
    LOAD(25) LOAD(26) LOAD(27) LOAD(28) LOAD(29) LOAD(30) LOAD(31)
    __asm__ volatile("kxnorq %k1, %k1, %k1\n kxnorq %k2, %k2, %k2");
}

__attribute__((target("avx"))) static void load_avx(void)
{
#define LOAD_YMM(n) __asm__ volatile("vmovdqu %0, %%ymm" #n : : "m"(vectors[n]));
    LOAD_YMM(0) LOAD_YMM(1) LOAD_YMM(2) LOAD_YMM(3) LOAD_YMM(4) LOAD_YMM(5) LOAD_YMM(6) LOAD_YMM(7)
}

/* Tile 0 has 16 rows of 64 bytes (SDM vol. 1, section 18.2). */
static void load_tiles(void)
{
    uint8_t config[64] = { [0] = 1, [16] = 64, [48] = 16 };
    __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00" : : "a"(config), "m"(config)); /* ldtilecfg (%rax) */
}

/*
 * Registers 0 to 3 are all ones, so that every mask has all of its bits set. 4 to 15 hold the 32-bit indices 0, 64,
 * 128 ..., 16 to 31 the same as 64-bit ones. Signal delivery has reset all of them, and the tiles.
 */
static void load_vectors(void)
{
    if (has_amx)
        load_tiles();
    if (has_avx512)
        load_avx512();
    else if (has_avx)
        load_avx();
    else
        __asm__ volatile("pcmpeqd %xmm0, %xmm0\n pcmpeqd %xmm1, %xmm1\n pcmpeqd %xmm2, %xmm2");
    __asm__ volatile("fninit\n fld1\n fld1");
}

static void run(const struct request *request)
{
    memset((void *)CODE, 0xcc, PAGE);
    memcpy((void *)CODE, request->code, sizeof request->code);
    mprotect((void *)DATA, DATA_BYTES, PROT_READ);
    memcpy(start_registers, request->registers, sizeof start_registers);
    start_rflags = request->rflags;
    memset(&response, 0, sizeof response);
    syscall(SYS_arch_prctl, ARCH_SET_GS, request->gs_base);
    if (sigsetjmp(done, 1) == 0) {
        load_vectors();
        if (request->mode == 64)
            enter64();
        __asm__ volatile("mov %0, %%ds\n mov %0, %%es" : : "r"(USER_DS));
        enter32();
    }
}

static void detect_features(void)
{
    unsigned a, b, c, d;
    has_avx = __builtin_cpu_supports("avx");
    has_avx512 = __builtin_cpu_supports("avx512bw");
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1))
        has_amx = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}

int main(void)
{
    static uint8_t signal_stack[64 * 1024];
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof signal_stack };
    sigaltstack(&stack, NULL);
    for (const int *signal = (int[]){ SIGSEGV, SIGTRAP, SIGILL, SIGBUS, SIGFPE, 0 }; *signal != 0; signal++)
        sigaction(*signal, &action, NULL);
    int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    if (mmap((void *)CODE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, fixed, -1, 0) != (void *)CODE ||
        mmap((void *)DATA, DATA_BYTES, PROT_READ | PROT_WRITE, fixed, -1, 0) != (void *)DATA)
        return 2;
    memset(vectors, 0xff, 4 * 64);
    for (int i = 0; i < 12 * 16; i++)
        ((uint32_t *)vectors[4])[i] = i % 16 * 64;
    for (int i = 0; i < 16 * 8; i++)
        ((uint64_t *)vectors[16])[i] = i % 8 * 64;
    detect_features();

    struct request request;
    while (fread(&request, sizeof request, 1, stdin) == 1) {
        run(&request);
        fwrite(&response, sizeof response, 1, stdout);
        fwrite(faults, sizeof faults[0], response.count, stdout);
    }
    return 0;
}
