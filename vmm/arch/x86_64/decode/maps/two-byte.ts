/** Two-byte opcodes, 0F xx: Intel SDM vol. 2, appendix A, tables; AMD's from APM vol. 3, appendix A. */
export const twoByteText = `
00: [Ew!*2, Ew desc*2, Ew*2, -*2]                # SLDT STR LLDT LTR VERR VERW
01: [Ms!*2, Ms*2, Ew!, Mq!, Ew, M0]              # SGDT SIDT LGDT LIDT SMSW RSTORSSP LMSW INVLPG; mod = 3: below
02 03: Ew                     # LAR LSL
05-09: .                      # SYSCALL CLTS SYSRET INVD WBINVD
0B: .                         # UD2
0D: E0                        # PREFETCHW
0E: .                         # FEMMS
0F: Eq Ib                     # 3DNow!, the immediate is the opcode
18 19 1C-1F: E0               # PREFETCH, NOP
1A: E0 ? | Ebnd | E0 | E0     # BNDLDX BNDMOV BNDCL BNDCU
1B: E0 ? | Ebnd! | E0 | E0    # BNDSTX BNDMOV BNDMK BNDCN
20-23: C                      # MOV of control and debug registers
2B: Mx! | Mx! | Md! | Mq!     # MOVNTPS MOVNTPD, AMD: MOVNTSS MOVNTSD
30-35: .                      # WRMSR RDTSC RDMSR RDPMC SYSENTER SYSEXIT
40-4F: Ev                     # CMOVcc
78: En! | R Iw | - | R Iw     # VMREAD, AMD: EXTRQ INSERTQ
79: En ? | R | - | R          # VMWRITE, AMD: EXTRQ INSERTQ
80-8F: Jz
90-9F: Eb!                    # SETcc
A0 A8: push                   # PUSH FS, GS
A1 A9: pop desc
A2: .                         # CPUID
A3: Ev bt                     # BT
A4 AC: Ev! Ib                 # SHLD SHRD
A5 AD: Ev!
AB B3 BB: Ev! bt              # BTS BTR BTC
AE: [M512!, M512, Md, Md!, Mxs!, Mxs, Mxs!, Mb] | [-*6, Mb*2] | [-*4, Ey, -, Mq!, -] | -
#   np FXSAVE FXRSTOR LDMXCSR STMXCSR XSAVE XRSTOR XSAVEOPT CLFLUSH; 66 CLWB CLFLUSHOPT; F3 PTWRITE CLRSSBSY
AF: Ev                        # IMUL
B0: Eb!                       # CMPXCHG
B1: Ev!
B2 B4 B5: Mp desc             # LSS LFS LGS
B6: Eb                        # MOVZX
B7: Ew
B8: - | - | Ev                # POPCNT
B9 FF: E0                     # UD1 UD0
BA: [-*4, Ev, Ev!*3] Ib       # BT BTS BTR BTC
BC BD: Ev                     # BSF TZCNT BSR LZCNT
BE: Eb                        # MOVSX
BF: Ew
C0: Eb!                       # XADD
C1: Ev!
C3: My!                       # MOVNTI
C7: [-, Myy!, -, Mxs, Mxs!*2, Mq ?, Mq!]         # CMPXCHG8B XRSTORS XSAVEC XSAVES VMPTRLD/VMCLEAR/VMXON VMPTRST
C8-CF: .                      # BSWAP
`;

/** 0F 01 with mod = 3, by the whole ModRM byte: tables A-6 and "Opcode Extensions" of APM vol. 3. */
export const group7RegisterText = `
C1 C4 C5: . | - | - | -       # VMCALL VMXOFF PCONFIG
C2 C3: . ?                    # VMLAUNCH VMRESUME
C6: . | - | . | . ?           # WRMSRNS WRMSRLIST RDMSRLIST
C8: monitor                   # MONITOR
C9 CA CB: .                   # MWAIT CLAC STAC
CF D7 C0: . ?                 # ENCLS ENCLU ENCLV
D0 D1 D4-D6: .                # XGETBV XSETBV VMFUNC XEND XTEST
D8 DB DE: . ?                 # VMRUN VMSAVE SKINIT
D9 DA DC DD DF: .             # VMMCALL VMLOAD STGI CLGI INVLPGA
E0-E7 F0-F7: .                # SMSW LMSW
E8: . | - | . ? | .           # SERIALIZE SETSSBSY XSUSLDTRK
E9: - | - | - | .             # XRESLDTRK
EA: - | - | . ?               # SAVEPREVSSP
EC: - | - | iret              # UIRET
ED: - | - | .                 # TESTUI
EE EF: . | - | .              # RDPKRU CLUI WRPKRU STUI
F8 F9 FD FE: .                # SWAPGS RDTSCP RDPRU INVLPGB
FA: monitor | - | .           # MONITORX MCOMMIT
FB: .                         # MWAITX
FC: clzero
FF: . | - | - | . ?           # TLBSYNC PVALIDATE
`;

/** 0F AE with mod = 3. */
export const group15RegisterText = `
C0-DF: - | - | .              # RDFSBASE RDGSBASE WRFSBASE WRGSBASE
E0-E7: - | - | .              # PTWRITE
E8-EF: . | - | . ?            # LFENCE INCSSP
F0-F7: . | . | umonitor | .   # MFENCE TPAUSE UMONITOR UMWAIT
F8-FF: .                      # SFENCE
`;

/** 0F C7 with mod = 3. */
export const group9RegisterText = `
F0-F7: . | . | . ?            # RDRAND SENDUIPI
F8-FF: . | . | .              # RDSEED RDPID
`;
