/**
 * Every form of instruction that writes memory, in the GNU assembler's syntax. Lines are
 *
 *     mnemonic ...: operands; operands ... [traits]
 *
 * where `@` in the operands stands for the mnemonic, which otherwise comes first, and `{m}` for the memory operand: the user
 * of the list puts an address there that is made of rdi, rsi, r13 and r14. Sources are other registers. Traits are those
 * of StoreForm: a CPU flag, `64` or `32`, `align=16`, `privileged`, and `superset`.
 */
export interface StoreForm {
  readonly assembly: string;
  /** The flag of /proc/cpuinfo that the CPU must have. */
  readonly feature: string | undefined;
  /** Only there in 64-bit mode, or only in 32-bit mode. */
  readonly only: 32 | 64 | undefined;
  /** The operand must be aligned to so many bytes. */
  readonly alignment: number;
  /** Needs CPL 0, or a CPU that does not refuse it at CPL 3 (UMIP): for a guest. */
  readonly privileged: boolean;
  /** The CPU may write less than the decoder says, depending on state; else both must agree to the byte. */
  readonly superset: boolean;
}

const parse = (text: string): StoreForm[] =>
  text.split('\n').flatMap(line => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const [, mnemonics = '', operands = '', traits = ''] = /^([^:]+):([^[]*)(?:\[(.*)\])?$/.exec(line) ?? [];
    const words = traits.split(' ').filter(word => word !== '');
    const flags = words.filter(word => !/^(64|32|align=\d+|privileged|superset)$/.test(word));
    const form = {
      feature: flags[0],
      only: words.includes('64') ? (64 as const) : words.includes('32') ? (32 as const) : undefined,
      alignment: Number(words.find(word => word.startsWith('align='))?.slice(6) ?? 1),
      privileged: words.includes('privileged'),
      superset: words.includes('superset'),
    };
    const patterns = operands.split(';').map(pattern => pattern.trim());
    return mnemonics.split(/\s+/).flatMap(mnemonic =>
      patterns.map(pattern => ({
        assembly: pattern.includes('@') ? pattern.replaceAll('@', mnemonic) : `${mnemonic} ${pattern}`,
        ...form,
      })),
    );
  });

/** With a memory operand that can have any address. */
export const operandForms: readonly StoreForm[] = parse(`
add or adc sbb and sub xor: @b %al, {m}; @w %ax, {m}; @l %eax, {m}; @b $5, {m}; @w $5, {m}; @l $5, {m}
add or adc sbb and sub xor: @w $0x1234, {m}; @l $0x123456, {m}; lock @l %eax, {m}; lock @b $5, {m}
add or adc sbb and sub xor: @q %rax, {m}; @q $0x123456, {m}; @q $5, {m}; lock @q %rdx, {m} [64]
rol ror rcl rcr shl shr sar: @b {m}; @w {m}; @l {m}; @b $3, {m}; @w $3, {m}; @l $3, {m}
rol ror rcl rcr shl shr sar: @b %cl, {m}; @w %cl, {m}; @l %cl, {m}
rol ror rcl rcr shl shr sar: @q {m}; @q $3, {m}; @q %cl, {m} [64]
inc dec not neg: @b {m}; @w {m}; @l {m}; lock @l {m}
inc dec not neg: @q {m}; lock @q {m} [64]
mov xchg xadd cmpxchg: @b %al, {m}; @w %ax, {m}; @l %ecx, {m}
mov xchg xadd cmpxchg: @q %rax, {m}; @q %r15, {m}; @b %r12b, {m}; @b %bpl, {m}; @l %r8d, {m} [64]
xadd cmpxchg: lock @l %ecx, {m}; lock @b %dl, {m}
mov: @b $5, {m}; @w $0x1234, {m}; @l $0x12345678, {m}; @w %ds, {m}
movq: $0x12345678, {m} [64]
seto setno setb setae sete setne setbe seta sets setns setp setnp setl setge setle setg: {m}
shld shrd: @w $3, %ax, {m}; @l $3, %eax, {m}; @w %cl, %ax, {m}; @l %cl, %eax, {m}
shld shrd: @q $3, %rax, {m}; @q %cl, %rax, {m} [64]
bts btr btc: @w $3, {m}; @l $3, {m}; lock @l $3, {m}
bts btr btc: @q $3, {m} [64]
cmpxchg8b: {m}; lock @ {m}
cmpxchg16b: {m}; lock @ {m} [64 cx16 align=16]
movbe: %ax, {m}; %eax, {m} [movbe]
movbe: %rax, {m} [64 movbe]
movnti: @l %eax, {m} [sse2]
movnti: @q %rax, {m} [64 sse2]
movdiri: %eax, {m} [movdiri]
movdiri: %rax, {m} [64 movdiri]
# System: descriptor tables, state, virtualization, shadow stacks
sgdt sidt sldt str smsw: {m} [privileged]
arpl: %ax, {m} [32 superset]
fxsave: {m} [align=16 superset]
fxsave64: {m} [64 align=16 superset]
xsave: {m} [xsave align=64 superset]
xsave64: {m} [64 xsave align=64 superset]
xsaveopt: {m} [xsaveopt align=64 superset]
xsavec: {m} [xsavec align=64 superset]
xsaves: {m} [xsaves align=64 superset privileged]
stmxcsr: {m} [sse]
vstmxcsr: {m} [avx]
vmptrst: {m} [vmx privileged]
vmread: %rax, {m} [64 vmx privileged]
wrssd wrussd: %eax, {m} [shstk privileged]
wrssq wrussq: %rax, {m} [64 shstk privileged]
# x87
fsts fstl fstps fstpl fstpt fists fistl fistps fistpl fistpll fbstp fnstcw fnstsw: {m}
fisttps fisttpl fisttpll: {m} [pni]
fnstenv fnsave: {m}; data16 @ {m}
# SSE
movups movss movlps movhps: %xmm1, {m} [sse]
movaps movntps: %xmm1, {m} [sse align=16]
movupd movsd movlpd movhpd movdqu movd movq: %xmm1, {m} [sse2]
movapd movntpd movdqa movntdq: %xmm1, {m} [sse2 align=16]
movd movq movntq: %mm1, {m} [sse2]
pextrb pextrw pextrd extractps: $1, %xmm1, {m} [sse4_1]
pextrq: $1, %xmm1, {m} [64 sse4_1]
movntss movntsd: %xmm1, {m} [sse4a]
# AVX
vmovups vmovupd vmovdqu: %xmm1, {m}; %ymm1, {m} [avx]
vmovaps vmovapd vmovdqa vmovntps vmovntpd vmovntdq: %xmm1, {m} [avx align=16]
vmovaps vmovapd vmovdqa vmovntps vmovntpd vmovntdq: %ymm1, {m} [avx align=32]
vmaskmovps vmaskmovpd: %xmm1, %xmm2, {m}; %ymm1, %ymm2, {m} [avx]
vpmaskmovd vpmaskmovq: %xmm1, %xmm2, {m}; %ymm1, %ymm2, {m} [avx2]
vmovss vmovsd vmovlps vmovlpd vmovhps vmovhpd vmovd vmovq: %xmm1, {m} [avx]
vpextrb vpextrw vpextrd vextractps: $1, %xmm1, {m} [avx]
vpextrq: $1, %xmm1, {m} [64 avx]
vextractf128: $1, %ymm1, {m} [avx]
vextracti128: $1, %ymm1, {m} [avx2]
vcvtps2ph: $0, %xmm1, {m}; $0, %ymm1, {m} [f16c]
# AVX-512: displacements are compressed
vmovups vmovupd vmovdqu32 vmovdqu64: %xmm1, {m}{%k1}; %ymm1, {m}{%k1}; %zmm1, {m}{%k1}; %zmm2, {m} [avx512vl]
vmovups vmovupd vmovdqu32 vmovdqu64: %zmm17, {m}; %xmm18, {m}; %ymm19, {m} [64 avx512vl]
vmovdqu8 vmovdqu16: %xmm1, {m}{%k1}; %ymm1, {m}{%k1}; %zmm1, {m}{%k1}; %zmm2, {m} [avx512bw]
vmovaps vmovapd vmovdqa32 vmovdqa64: %xmm1, {m}{%k1} [avx512vl align=16]
vmovaps vmovapd vmovdqa32 vmovdqa64: %ymm1, {m}{%k1} [avx512vl align=32]
vmovaps vmovapd vmovdqa32 vmovdqa64 vmovntps vmovntpd vmovntdq: %zmm1, {m} [avx512f align=64]
vmovss vmovsd: %xmm1, {m}{%k1}; {evex} @ %xmm1, {m} [avx512f]
vmovlps vmovlpd vmovhps vmovhpd vmovd vmovq: {evex} @ %xmm1, {m} [avx512f]
vmovss vmovsd vmovlps vmovhpd vmovd vmovq: %xmm17, {m} [64 avx512f]
vextractps: {evex} @ $1, %xmm1, {m} [avx512f]
vpextrb vpextrw: {evex} @ $1, %xmm1, {m} [avx512bw]
vpextrd: {evex} @ $1, %xmm1, {m} [avx512dq]
vpextrq: {evex} @ $1, %xmm1, {m} [64 avx512dq]
vextractf32x4 vextracti32x4: $1, %ymm1, {m}{%k1}; $1, %zmm1, {m}{%k1} [avx512vl]
vextractf64x4 vextracti64x4: $1, %zmm1, {m}{%k1} [avx512f]
vextractf64x2 vextracti64x2: $1, %ymm1, {m}{%k1}; $1, %zmm1, {m} [avx512dq]
vextractf32x8 vextracti32x8: $1, %zmm1, {m}{%k1} [avx512dq]
vcvtps2ph: $0, %xmm1, {m}{%k1}; $0, %ymm1, {m}{%k1}; $0, %zmm1, {m}{%k1} [avx512vl]
vpmovdb vpmovqb vpmovdw vpmovqw vpmovqd: %xmm1, {m}{%k1}; %ymm1, {m}{%k1}; %zmm1, {m}{%k1} [avx512vl]
vpmovsdb vpmovsqb vpmovsdw vpmovsqw vpmovsqd: %xmm1, {m}{%k1}; %ymm1, {m}{%k1}; %zmm1, {m}{%k1} [avx512vl]
vpmovusdb vpmovusqb vpmovusdw vpmovusqw vpmovusqd: %xmm1, {m}{%k1}; %ymm1, {m}; %zmm1, {m}{%k1} [avx512vl]
vpmovwb vpmovswb vpmovuswb: %xmm1, {m}{%k1}; %ymm1, {m}{%k1}; %zmm1, {m}{%k1} [avx512bw]
vcompressps vcompresspd vpcompressd vpcompressq: %xmm1, {m}{%k1}; %ymm1, {m}{%k1}; %zmm1, {m}{%k1} [avx512vl]
vpcompressb vpcompressw: %xmm1, {m}{%k1}; %ymm1, {m}{%k1}; %zmm1, {m}{%k1} [avx512_vbmi2]
vmovsh: %xmm1, {m}{%k1}; %xmm1, {m} [avx512_fp16]
vmovw: %xmm1, {m} [avx512_fp16]
kmovw: %k1, {m} [avx512f]
kmovb: %k1, {m} [avx512dq]
kmovd kmovq: %k1, {m} [avx512bw]
`);

/** A bit offset, in rbx or rdx, is added to the address. */
export const bitOffsetForms: readonly StoreForm[] = parse(`
bts btr btc: @w %bx, {m}; @l %ebx, {m}; @w %dx, {m}; @l %edx, {m}; lock @l %ebx, {m}
bts btr btc: @q %rbx, {m}; @q %rdx, {m} [64]
`);

/** At rdi, without an operand that says so; strings come from rsi, counts are in rcx. */
export const rdiForms: readonly StoreForm[] = parse(`
movs stos: @b; @w; @l; rep @b; rep @w; rep @l; repne @b
movs stos: @q; rep @q; addr32 rep @b; addr32 rep @q [64]
ins: @b; @w; @l; rep @b; rep @w; rep @l [privileged]
maskmovdqu: %xmm1, %xmm2 [sse2]
vmaskmovdqu: %xmm1, %xmm2 [avx]
maskmovq: %mm1, %mm2 [sse2 superset]
`);

/** Below rsp. A call through rax returns to an int3. */
export const stackForms: readonly StoreForm[] = parse(`
push: %rax; %rbp; %r12; $5; $0x12345678; %fs; %gs [64]
push: @w %ax; @w $0x1234; @fq; @fw [64]
call: . + 0x18; *%rax [64]
enter: $0, $0; $32, $0; $0x3000, $0; $0, $1; $32, $1 [64]
push: %eax; %ebp; $5; $0x12345678; @w %ax; @w $0x1234; @fl; @fw; @al; @aw [32]
push: %cs; %ds; %es; %ss; %fs; %gs [32 superset]
push: @w %ds [32]
call: . + 0x18; *%eax [32]
enter: $0, $0; $32, $0; $0x3000, $0; $0, $1 [32]
`);

/** From the stack to memory. */
export const popForms: readonly StoreForm[] = parse(`
pop: @q {m}; @w {m} [64]
pop: @l {m}; @w {m} [32]
`);

/** Elements at indices in a vector register, from rdi on; registers from 16 on hold 64-bit indices. */
export const scatterForms: readonly StoreForm[] = parse(`
vscatterdps vpscatterdd: %zmm1, (%rdi,%zmm4,1){%k1}; %ymm1, 64(%rdi,%ymm5,4){%k1}; %xmm1, (%rdi,%xmm12,8){%k1} [64 avx512vl]
vscatterdpd vpscatterdq: %zmm1, (%rdi,%ymm4,2){%k1}; %ymm1, 64(%rdi,%xmm4,1){%k1}; %xmm1, (%rdi,%xmm4){%k1} [64 avx512vl]
vscatterqps vpscatterqd: %ymm1, (%rdi,%zmm16,1){%k1}; %xmm1, 64(%rdi,%ymm17,4){%k1}; %xmm1, (%rdi,%xmm31,8){%k1} [64 avx512vl]
vscatterqpd vpscatterqq: %zmm1, (%rdi,%zmm16,8){%k1}; %ymm1, 64(%rdi,%ymm18){%k1}; %xmm1, (%rdi,%xmm16){%k1} [64 avx512vl]
`);

/** Rows in memory are rsi apart. */
export const tileForms: readonly StoreForm[] = parse(`
tilestored: %tmm0, (%rdi,%rsi,1) [64 amx_tile]
sttilecfg: (%rdi) [64 amx_tile]
`);

/** 64 bytes at a register, copied from rbx. */
export const cacheLineForms: readonly StoreForm[] = parse(`
movdir64b: (%rbx), %rdi [64 movdir64b align=64]
movdir64b: (%ebx), %edi [movdir64b align=64]
`);
