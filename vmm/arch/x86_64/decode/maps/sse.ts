/**
 * Vector instructions whose legacy SSE, VEX and EVEX forms have the same memory operand (legacy vectors are 16 bytes
 * long): Intel SDM vol. 2, appendix A, tables. MMX forms, without a prefix, come along: VEX and EVEX
 * have none there.
 */
export const sse0fText = `
10: Ex | Ex | Ed | Eq         # MOVUPS MOVUPD MOVSS MOVSD
11: Ex! | Ex! | Ed! | Eq!
12: Eq | Mq | Ex | Edup       # MOVLPS MOVLPD MOVSLDUP MOVDDUP
13: Mq! | Mq!
14 15: Ex | Ex                # UNPCK
16: Eq | Mq | Ex              # MOVHPS MOVHPD MOVSHDUP
17: Mq! | Mq!
28: Ex | Ex                   # MOVAPS MOVAPD
29: Ex! | Ex!
2A: Eq | Eq | Ey | Ey         # CVTPI2PS CVTPI2PD CVTSI2SS CVTSI2SD
2B: Mx! | Mx!                 # MOVNTPS MOVNTPD
2C 2D: Eq | Ex | Ed | Eq      # CVT(T)PS2PI CVT(T)PD2PI CVT(T)SS2SI CVT(T)SD2SI
2E 2F: Ed | Eq                # UCOMIS COMIS
50: R | R                     # MOVMSK
51: Ex | Ex | Ed | Eq         # SQRT
52 53: Ex | - | Ed            # RSQRT RCP
54-57: Ex | Ex                # AND ANDN OR XOR
58 59: Ex | Ex | Ed | Eq      # ADD MUL
5A: Eh | Ex | Ed | Eq         # CVTPS2PD CVTPD2PS CVTSS2SD CVTSD2SS
5B: Ex | Ex | Ex              # CVTDQ2PS CVTPS2DQ CVTTPS2DQ
5C-5F: Ex | Ex | Ed | Eq      # SUB MIN DIV MAX
60-62: Ed | Ex                # PUNPCKL
63-6B: Eq | Ex                # PACK PCMPGT PUNPCKH
6C 6D: - | Ex                 # PUNPCKLQDQ PUNPCKHQDQ
6E: Ey | Ey                   # MOVD
6F: Eq | Ex | Ex              # MOVQ MOVDQA MOVDQU
70: Eq Ib | Ex Ib | Ex Ib | Ex Ib                # PSHUF
71: [-*2, R, -, R, -, R, -] Ib | [-*2, R, -, R, -, R, -] Ib
72: [-*2, R, -, R, -, R, -] Ib | [-*2, R, -, R, -, R, -] Ib
73: [-*2, R, -*3, R, -] Ib | [-*2, R*2, -*2, R*2] Ib
74-76: Eq | Ex                # PCMPEQ
77: .                         # EMMS VZEROUPPER
7C 7D: - | Ex | - | Ex        # HADD HSUB
7E: Ey! | Ey! | Eq            # MOVD, MOVQ
7F: Eq! | Ex! | Ex!           # MOVQ MOVDQA MOVDQU
C2: Ex Ib | Ex Ib | Ed Ib | Eq Ib                # CMP
C4: Ew Ib | Ew Ib             # PINSRW
C5: R Ib | R Ib               # PEXTRW
C6: Ex Ib | Ex Ib             # SHUF
D0: - | Ex | - | Ex           # ADDSUB
D1-D3 E1 E2 F1-F3: Eq | Edq   # shifts by a count in a register or memory
D4 D5 D8-DF E0 E3-E5 E8-EF F4-F6 F8-FE: Eq | Ex  # PADD PSUB PMUL PMIN PMAX PAND POR PXOR PAVG PSAD
D6: - | Eq! | R | R           # MOVQ MOVQ2DQ MOVDQ2Q
D7: R | R                     # PMOVMSKB
E6: - | Ex | Eh | Ex          # CVTTPD2DQ CVTDQ2PD CVTPD2DQ
E7: Mq! | Mx!                 # MOVNTQ MOVNTDQ
F0: - | - | - | Mx            # LDDQU
F7: R maskmov | R maskmov     # MASKMOVQ MASKMOVDQU
`;

export const sse0f38Text = `
00-0B 1C-1E: Eq | Ex          # PSHUFB PHADD PMADDUBSW PHSUB PSIGN PMULHRSW PABS
17 28 29 2B 37-41: - | Ex     # PTEST PMULDQ PCMPEQQ PACKUSDW PCMPGTQ PMIN PMAX PMULLD PHMINPOSUW
20 23 25 30 33 35: - | Eh     # PMOVSX PMOVZX: BW WD DQ
21 24 31 34: - | Ef           # BD WQ
22 32: - | Ee                 # BQ
2A: - | Mx                    # MOVNTDQA
CF DB-DF: - | Ex              # GF2P8MULB AESIMC AESENC AESDEC
`;

export const sse0f3aText = `
08 09 0C-0E: - | Ex Ib        # ROUNDPS ROUNDPD BLENDPS BLENDPD PBLENDW
0A: - | Ed Ib                 # ROUNDSS
0B: - | Eq Ib                 # ROUNDSD
0F: Eq Ib | Ex Ib             # PALIGNR
14: - | Eb! Ib                # PEXTRB
15: - | Ew! Ib                # PEXTRW
16: - | Ey! Ib                # PEXTRD PEXTRQ
17: - | Ed! Ib                # EXTRACTPS
20: - | Eb Ib                 # PINSRB
21: - | Ed Ib                 # INSERTPS
22: - | Ey Ib                 # PINSRD PINSRQ
40-42 44 60-63 CE CF DF: - | Ex Ib   # DP MPSADBW PCLMULQDQ PCMPSTR GF2P8AFFINE AESKEYGENASSIST
`;
