/**
 * EVEX forms that differ from their legacy ones or have none: Intel SDM vol. 2, instruction pages. The size of an
 * operand also gives the scale of a compressed displacement (tuple types of section 2.7.5).
 */

export const evex0fText = `
2A: - | - | Ey | Ey           # VCVTSI2SS VCVTSI2SD
2C 2D: - | - | Ed | Eq
6F: - | Ex | Ex | Ex          # VMOVDQA32/64 VMOVDQU32/64 VMOVDQU8/16
7F: - | Ex! | Ex! | Ex!
71-73: - | [Ex*8] Ib          # VPSRL VPSRA VPSLL VPROR VPROL VPSRLDQ VPSLLDQ
78 79 @W0: Ex | Eh | Ed | Eq  # VCVT(T)PS2UDQ VCVT(T)PS2UQQ VCVT(T)SS2USI VCVT(T)SD2USI
78 79 @W1: Ex | Ex | Ed | Eq
7A @W0: - | Eh | Eh | Ex      # VCVTTPS2QQ VCVTUDQ2PD VCVTUDQ2PS
7A @W1: - | Ex | Ex | Ex
7B @W0: - | Eh | Ey | Ey      # VCVTPS2QQ VCVTUSI2SS VCVTUSI2SD
7B @W1: - | Ex | Ey | Ey
E6 @W1: - | Ex | Ex | Ex      # VCVTQQ2PD
`;

export const evex0f38Text = `
10: - | Ex | Eh!              # VPSRLVW, VPMOVUSWB
11: - | Ex | Ef!              # VPSRAVW, VPMOVUSDB
12: - | Ex | Ee!              # VPSLLVW, VPMOVUSQB
13: - | Eh | Eh!              # VCVTPH2PS, VPMOVUSDW
14: - | Ex | Ef!              # VPRORV, VPMOVUSQW
15: - | Ex | Eh!              # VPROLV, VPMOVUSQD
20 23 25 30 33 35: - | Eh | Eh!   # VPMOVSX VPMOVZX, VPMOVS VPMOV: half
21 24 31 34: - | Ef | Ef!     # a fourth
22 32: - | Ee | Ee!           # an eighth
0C 0D 16 1F: - | Ex           # VPERMIL VPERMPS VPERMPD VPABSQ
18 58: - | Ed                 # VBROADCASTSS VPBROADCASTD
19 59: - | Eq                 # VBROADCASTSD VBROADCASTF32X2
1A 5A: - | Mdq                # VBROADCASTF32X4
1B 5B: - | Mqq                # VBROADCASTF32X8
26 27: - | Ex | Ex            # VPTESTM VPTESTNM
28 29: - | Ex | R             # VPMULDQ VPCMPEQQ, VPMOVM2 VPMOV2M
2A: - | Mx | R                # VMOVNTDQA, VPBROADCASTMB2Q
2C 36 42 44-47 4C 4E: - | Ex  # VSCALEF VPERM VGETEXP VPLZCNT VPSRLV VPSRAV VPSLLV VRCP14 VRSQRT14
2D 43 4D 4F: - | Eel          # their scalar forms
38 39: - | Ex | R             # VPMINSB VPMINSD, VPMOVM2 VPMOV2M
3A: - | Ex | R                # VPMINUW, VPBROADCASTMW2D
50 51: - | Ex                 # VPDPBUSD
52 53: - | Ex | Ex | Edq      # VPDPWSSD VDPBF16PS VP4DPWSSD
54 55: - | Ex                 # VPOPCNT
62: - | Ecb                   # VPEXPANDB
63: - | Ecb!                  # VPCOMPRESSB
64-66 70 71 73: - | Ex        # VPBLENDM VBLENDM VPSHLDV VPSHRDV
68: - | - | - | Ex            # VP2INTERSECT
72: - | Ex | Ex | Ex          # VPSHRDVW VCVTNEPS2BF16 VCVTNE2PS2BF16
75-77 7D-7F 83 8D 8F: - | Ex  # VPERMI2 VPERMT2 VPMULTISHIFTQB VPERMB VPSHUFBITQMB
78: - | Eb                    # VPBROADCASTB
79: - | Ew                    # VPBROADCASTW
7A-7C: - | R                  # VPBROADCAST from a general register
88 89: - | Ecel               # VEXPANDPS VPEXPANDD
8A 8B: - | Ecel!              # VCOMPRESSPS VPCOMPRESSD
90 92: - | Mel vsibd          # VPGATHER VGATHER
91 93: - | Mel vsibq
A0 A2: - | Mel! vsibd         # VPSCATTER VSCATTER
A1 A3: - | Mel! vsibq
96-98 9C 9E A6-A8 AC AE B6-B8 BA BC BE: - | Ex   # VFMADDSUB VFMADD VFMSUB VFNMADD VFNMSUB
9A AA: - | Ex | - | Edq       # VFMSUB V4FMADDPS
99 9D 9F A9 AD AF B9 BB BD BF: - | Eel
9B AB: - | Eel | - | Edq      # VFMSUB V4FMADDSS
B4 B5 C4: - | Ex              # VPMADD52 VPCONFLICT
C8 CA CC: - | Ex              # VEXP2 VRCP28 VRSQRT28
CB CD: - | Eel
`;

export const evex0f3aText = `
00 01 03-05 1E 1F 23 25 3E 3F 42-44 50 54 70-73: - | Ex Ib
#   VPERMQ VPERMPD VALIGN VPERMIL VPCMP VSHUFF VPTERNLOG VDBPSADBW VSHUFI VPCLMULQDQ VRANGE VFIXUPIMM VPSHLD VPSHRD
08: Ex/2 Ib | Ex Ib           # VRNDSCALEPH VRNDSCALEPS
0A: Ew Ib | Ed Ib             # VRNDSCALESH VRNDSCALESS
18 38: - | Edq Ib             # VINSERTF32X4
19 39: - | Edq! Ib            # VEXTRACTF32X4
1A 3A: - | Eqq Ib             # VINSERTF32X8
1B 3B: - | Eqq! Ib            # VEXTRACTF32X8
1D: - | Eh! Ib                # VCVTPS2PH
26 56 66: Ex/2 Ib | Ex Ib     # VGETMANT VREDUCE VFPCLASS
27 57 67: Ew Ib | Eel Ib      # their scalar forms
51 55: - | Eel Ib             # VRANGES VFIXUPIMMS
C2: Ex/2 Ib | - | Ew Ib       # VCMPPH VCMPSH
`;

/** Map 5: half-precision forms of what 0F has. */
export const evex5Text = `
10: - | - | Ew                # VMOVSH
11: - | - | Ew!
1D: Ed | Ex/4                 # VCVTSS2SH VCVTPS2PHX
2A 7B: - | - | Ey             # VCVTSI2SH VCVTUSI2SH
2C 2D: - | - | Ew             # VCVT(T)SH2SI
2E 2F: Ew                     # VUCOMISH VCOMISH
51 58 59 5C-5F: Ex/2 | - | Ew # VSQRT VADD VMUL VSUB VMIN VDIV VMAX
5A: Ef/2 | Ex/8 | Ew | Eq     # VCVTPH2PD VCVTPD2PH VCVTSH2SD VCVTSD2SH
5B @W0: Ex/4 | Eh/2 | Eh/2    # VCVTDQ2PH VCVTPH2DQ VCVTTPH2DQ
5B @W1: Ex/8                  # VCVTQQ2PH
6E: - | Ew                    # VMOVW
7E: - | Ew!
78 79: Eh/2 | Ef/2 | Ew       # VCVT(T)PH2UDQ VCVT(T)PH2UQQ VCVT(T)SH2USI
7A @W0: - | Ef/2 | - | Ex/4   # VCVTTPH2QQ VCVTUDQ2PH
7A @W1: - | Ef/2 | - | Ex/8   # VCVTUQQ2PH
7B: - | Ef/2 | Ey             # VCVTPH2QQ VCVTUSI2SH
7C: Ex/2 | Ex/2               # VCVTTPH2UW VCVTTPH2W
7D: Ex/2 | Ex/2 | Ex/2 | Ex/2 # VCVTPH2UW VCVTPH2W VCVTW2PH VCVTUW2PH
`;

/** Map 6: half-precision forms of what 0F 38 has. */
export const evex6Text = `
13: Ew | Eh/2                 # VCVTSH2SS VCVTPH2PSX
2C 42 4C 4E 96-98 9A 9C 9E A6-A8 AA AC AE B6-B8 BA BC BE: - | Ex/2
2D 43 4D 4F 99 9B 9D 9F A9 AB AD AF B9 BB BD BF: - | Ew
56 D6: - | - | Ex/4 | Ex/4    # VFMADDCPH VFMULCPH VFCMADDCPH VFCMULCPH
57 D7: - | - | Ed | Ed
`;
