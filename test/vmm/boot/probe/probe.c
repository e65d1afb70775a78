/*
 * A kernel that looks at what the Linux boot protocol has prepared for it, says so on the serial port, one "name=value"
 * a line, and powers off; with "wait" as its command line's first word it first waits for the power button. Linked at 2 MiB; as in a bzImage, the 64-bit entry is 0x200 behind the beginning.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

struct cpu {
    u64 rsi, rflags, cr0, cr3, cr4, cs, ds, es, ss;
};

__asm__(
    ".section .head, \"ax\"\n"
    ".org 0x200\n"
    ".globl entry64\n"
    "entry64:\n"
    // There is no stack yet: what must be seen before it is touched goes into registers.
    "  mov %rsi, %r8\n"
    "  lea stack_top(%rip), %rsp\n"
    "  pushf\n"
    "  pop %r9\n"
    "  lea cpu(%rip), %rdi\n"
    "  mov %r8, 0(%rdi)\n"
    "  mov %r9, 8(%rdi)\n"
    "  mov %cr0, %rax\n  mov %rax, 16(%rdi)\n"
    "  mov %cr3, %rax\n  mov %rax, 24(%rdi)\n"
    "  mov %cr4, %rax\n  mov %rax, 32(%rdi)\n"
    "  mov %cs, %eax\n  mov %rax, 40(%rdi)\n"
    "  mov %ds, %eax\n  mov %rax, 48(%rdi)\n"
    "  mov %es, %eax\n  mov %rax, 56(%rdi)\n"
    "  mov %ss, %eax\n  mov %rax, 64(%rdi)\n"
    "  call probe\n"
    "1: hlt\n"
    "  jmp 1b\n"
    ".text\n");

struct cpu cpu __attribute__((section(".data")));
u8 stack[4096] __attribute__((section(".data"), aligned(16)));
__asm__(".globl stack_top\n.set stack_top, stack + 4096\n");

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }

static u32 in32(u16 port) {
    u32 value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void text(const char *string) {
    while (*string) out8(0x3f8, (u8)*string++);
}

static void number(u64 value) {
    text("0x");
    int shift = 60;
    while (shift > 0 && ((value >> shift) & 15) == 0) shift -= 4;
    for (; shift >= 0; shift -= 4) out8(0x3f8, (u8) "0123456789abcdef"[(value >> shift) & 15]);
}

static void fact(const char *name, u64 value) {
    text(name);
    text("=");
    number(value);
    text("\n");
}

/* Unaligned little-endian numbers. */
static u64 read(const u8 *at, int bytes) {
    u64 value = 0;
    while (bytes-- > 0) value = value << 8 | at[bytes];
    return value;
}

static u64 efer(void) {
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0xc0000080));
    return (u64)high << 32 | low;
}

static void describe_segments(void) {
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) gdt;
    __asm__ volatile("sgdt %0" : "=m"(gdt));
    fact("gdt_limit", gdt.limit);
    fact("descriptor_cs", read((const u8 *)gdt.base + (cpu.cs & ~7ul), 8));
    fact("descriptor_ds", read((const u8 *)gdt.base + (cpu.ds & ~7ul), 8));
}

static void describe_initrd(const u8 *page) {
    const u8 *start = (const u8 *)read(page + 0x218, 4);
    u64 size = read(page + 0x21c, 4);
    u64 sum = 0;
    for (u64 i = 0; i < size; i++) sum = sum * 31 + start[i];
    fact("initrd", (u64)start);
    fact("initrd_size", size);
    fact("initrd_sum", sum);
}

static void describe_root_pointer(const u8 *page) {
    const u8 *rsdp = (const u8 *)read(page + 0x70, 8);
    fact("rsdp", (u64)rsdp);
    if (rsdp) fact("rsdp_signature", read(rsdp, 8));
    if (rsdp) fact("xsdt_signature", read((const u8 *)read(rsdp + 24, 8), 4));
}

/* The register of ACPI events, and the generation id, which a restore changes. */
static void wait_for_power_button(void) {
    volatile u64 *generation = (volatile u64 *)0xef000;
    u32 events;
    fact("waiting", generation[0]);
    do {
        events = in32(0x604);
        if (events) fact("generation", generation[0]);
        if (events) fact("events", events);
    } while (!(events & 1));
}

void probe(void) {
    const u8 *page = (const u8 *)cpu.rsi;
    fact("rflags", cpu.rflags);
    fact("cr0", cpu.cr0);
    fact("cr4", cpu.cr4);
    fact("efer", efer());
    fact("cs", cpu.cs);
    fact("ds", cpu.ds);
    fact("es", cpu.es);
    fact("ss", cpu.ss);
    describe_segments();
    fact("boot_flag", read(page + 0x1fe, 2));
    fact("header", read(page + 0x202, 4));
    fact("version", read(page + 0x206, 2));
    fact("type_of_loader", page[0x210]);
    fact("loadflags", page[0x211]);
    fact("sentinel", page[0x1ef]);
    describe_initrd(page);
    describe_root_pointer(page);
    for (int i = 0; i < page[0x1e8]; i++) {
        const u8 *entry = page + 0x2d0 + 20 * i;
        fact("e820_start", read(entry, 8));
        fact("e820_length", read(entry + 8, 8));
        fact("e820_type", read(entry + 16, 4));
    }
    fact("mp_signature", read((const u8 *)0, 4));
    const char *cmdline = (const char *)read(page + 0x228, 4);
    text("cmdline=");
    text(cmdline);
    text("\n");
    /* The last megabyte below 4 GiB is mapped too: the LAPIC is there. */
    fact("lapic_version", *(volatile u32 *)0xfee00030 & 0xff);
    if (read((const u8 *)cmdline, 4) == read((const u8 *)"wait", 4)) wait_for_power_button();
    out8(0x600, 0x34);
}
