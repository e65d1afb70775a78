/*
 * Tells what the Zydis disassembler (Debian: libzydis-dev) knows about instructions. Records on standard input:
 * mode (16, 32 or 64), count of bytes, 15 bytes. Answers on standard output, packed, little-endian:
 *
 *     u8 length (0: no instruction), u8 operand count, char mnemonic[24], and for each operand in memory
 *     u64 linear address, u32 size in bytes, u8 flags
 *
 * argv: the values of the 16 general registers, RIP, and the bases of ES, CS, SS, DS, FS, GS, in decimal.
 */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READS = 1, WRITES = 2, HIDDEN = 4, STACK = 8, VECTOR_INDEX = 16 };

static ZydisRegisterContext registers;
static ZyanU64 rip, segment_bases[6];

static void load_registers(char **values)
{
    for (int i = 0; i < ZYDIS_REGISTER_MAX_VALUE; i++) {
        ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, i);
        if (full < ZYDIS_REGISTER_RAX || full > ZYDIS_REGISTER_R15)
            continue;
        ZyanU64 value = strtoull(values[full - ZYDIS_REGISTER_RAX], NULL, 10);
        int bits = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, i);
        registers.values[i] = bits == 64 ? value : value & ((1ull << bits) - 1);
    }
    rip = strtoull(values[16], NULL, 10);
    for (int i = 0; i < 6; i++)
        segment_bases[i] = strtoull(values[17 + i], NULL, 10);
}

static int segment_number(ZydisRegister segment)
{
    switch (segment) {
    case ZYDIS_REGISTER_ES: return 0;
    case ZYDIS_REGISTER_CS: return 1;
    case ZYDIS_REGISTER_SS: return 2;
    case ZYDIS_REGISTER_FS: return 4;
    case ZYDIS_REGISTER_GS: return 5;
    default: return 3;
    }
}

struct __attribute__((packed)) answer { ZyanU8 length, count; char mnemonic[24]; };
struct __attribute__((packed)) operand { ZyanU64 address; ZyanU32 size; ZyanU8 flags; };

static int describe(const ZydisDecodedInstruction *instruction, const ZydisDecodedOperand *from, int mode,
                    struct operand *to)
{
    memset(to, 0, sizeof *to);
    if (from->type != ZYDIS_OPERAND_TYPE_MEMORY || from->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
        return 0;
    if (from->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
        to->flags |= READS;
    if (from->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
        to->flags |= WRITES;
    if (from->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
        to->flags |= HIDDEN;
    to->size = from->size / 8;
    if (from->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
        to->flags |= VECTOR_INDEX;
        return 1;
    }
    if (from->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
        ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, from->mem.base) == ZYDIS_REGISTER_RSP)
        to->flags |= STACK;
    ZyanU64 address = 0;
    ZydisCalcAbsoluteAddressEx(instruction, from, rip, &registers, &address);
    int segment = segment_number(from->mem.segment);
    if (mode != 64)
        address = (ZyanU32)(address + segment_bases[segment]);
    else if (segment >= 4)
        address += segment_bases[segment];
    to->address = address;
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 1 + 17 + 6)
        return 2;
    load_registers(argv + 1);
    ZydisDecoder decoders[3];
    ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);

    unsigned char record[17];
    while (fread(record, sizeof record, 1, stdin) == 1) {
        int mode = record[0];
        struct answer answer = { 0 };
        struct operand found[ZYDIS_MAX_OPERAND_COUNT];
        ZydisDecodedInstruction instruction;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        ZydisDecoder *decoder = &decoders[mode == 64 ? 0 : mode == 32 ? 1 : 2];
        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, record + 2, record[1], &instruction, operands))) {
            answer.length = instruction.length;
            strncpy(answer.mnemonic, ZydisMnemonicGetString(instruction.mnemonic), sizeof answer.mnemonic - 1);
            for (int i = 0; i < instruction.operand_count; i++)
                answer.count += describe(&instruction, &operands[i], mode, &found[answer.count]);
        }
        fwrite(&answer, sizeof answer, 1, stdout);
        fwrite(found, sizeof found[0], answer.count, stdout);
    }
    return 0;
}
