/** VEX forms that differ from their legacy ones or have none: Intel SDM vol. 2, instruction pages. */

export const vex0fText = `
2A: - | - | Ey | Ey           # VCVTSI2SS VCVTSI2SD
2C 2D: - | - | Ed | Eq
41 42 44-47 4A 4B: R | R      # KAND KANDN KNOT KOR KXNOR KXOR KADD KUNPCK
90 @W0: Ew | Eb               # KMOV
90 @W1: Eq | Ed
91 @W0: Mw! | Mb!
91 @W1: Mq! | Md!
92 93: R | R | - | R
98 99: R | R                  # KORTEST KTEST
AE: [-*2, Md, Md!, -*4]       # VLDMXCSR VSTMXCSR
`;

export const vex0f38Text = `
0C-0F 16 36 45-47 8C: - | Ex  # VPERMILPS VPERMILPD VTESTPS VTESTPD VPERMPS VPERMD VPSRLV VPSRAV VPSLLV VPMASKMOV
13: - | Eh                    # VCVTPH2PS
18 58: - | Ed                 # VBROADCASTSS VPBROADCASTD
19 59: - | Eq                 # VBROADCASTSD VPBROADCASTQ
1A 5A: - | Mdq                # VBROADCASTF128 VBROADCASTI128
2C 2D: - | Mx                 # VMASKMOV
2E 2F 8E: - | Mx!             # VMASKMOV VPMASKMOV
49 @W0: E64 | M64! | - | R    # LDTILECFG, TILERELEASE, STTILECFG, TILEZERO
4B @W0: - | M64 tile | M64! tile | M64 tile      # TILELOADDT1 TILESTORED TILELOADD
50 51: Ex | Ex | Ex | Ex      # VPDPBUSD and its kin
52 53: - | Ex                 # VPDPWSSD
5C: - | - | R | R             # TDPBF16PS TDPFP16PS
5E: R | R | R | R             # TDPBUUD TDPBUSD TDPBSUD TDPBSSD
6C: R | R                     # TCMMRLFP16PS TCMMIMFP16PS
72: - | - | Ex                # VCVTNEPS2BF16
78: - | Eb                    # VPBROADCASTB
79: - | Ew                    # VPBROADCASTW
90 92: - | Mel vsibd          # VPGATHERD VGATHERDPS
91 93: - | Mel vsibq
96 97 98 9A 9C 9E A6 A7 A8 AA AC AE B6 B7 B8 BA BC BE: - | Ex     # VFMADDSUB VFMADD VFMSUB VFNMADD VFNMSUB
99 9B 9D 9F A9 AB AD AF B9 BB BD BF: - | Eel
B0: Mx | Mx | Mx | Mx         # VCVTNEOPH2PS VCVTNEEPH2PS VCVTNEEBF162PS VCVTNEOBF162PS
B1: - | Mw | Mw               # VBCSTNESH2PS VBCSTNEBF162PS
B4 B5: - | Ex                 # VPMADD52
CB-CD: - | - | - | R          # VSHA512
D2 D3: Ex | Ex | Ex           # VPDPWSUD and its kin
DA: Ex | Ex | Ex | Ex         # VSM3MSG VSM4
E0-EF: - | My!                # CMPccXADD
F2: Ey                        # ANDN
F3: [-, Ey*3, -*4]            # BLSR BLSMSK BLSI
F5: Ey | - | Ey | Ey          # BZHI PEXT PDEP
F6: - | - | - | Ey            # MULX
F7: Ey | Ey | Ey | Ey         # BEXTR SHLX SARX SHRX
`;

/** The forms with a fourth register, or a register and an immediate, in the last byte count as Ib. */
export const vex0f3aText = `
00-02 04-06 46: - | Ex Ib     # VPERMQ VPERMPD VPBLENDD VPERMILPS VPERMILPD VPERM2F128 VPERM2I128
18 38: - | Edq Ib             # VINSERTF128 VINSERTI128
19 39: - | Edq! Ib            # VEXTRACTF128 VEXTRACTI128
1D: - | Eh! Ib                # VCVTPS2PH
30-33: - | R Ib               # KSHIFTR KSHIFTL
48 49 4A-4C: - | Ex Ib        # VBLENDVPS VBLENDVPD VPBLENDVB, AMD: VPERMIL2PS VPERMIL2PD
5C-5F 68 69 6C 6D 78 79 7C 7D: - | Ex Ib         # AMD: FMA4
6A 6E 7A 7E: - | Ed Ib
6B 6F 7B 7F: - | Eq Ib
DE: - | Ex Ib                 # VSM3RNDS2
F0: - | - | - | Ey Ib         # RORX
`;

/** AMD's XOP maps 8, 9 and 10: APM vol. 3 and 4. */
export const xop8Text = `
85-87 8E 8F 95-97 9E 9F A2 A3 A6 B6 C0-C3 CC-CF EC-EF: Ex Ib
`;
export const xop9Text = `
01: [-, Ey*7]                 # BLCFILL BLSFILL BLCS TZMSK BLCIC BLSIC T1MSKC
02: [-, Ey, -*4, Ey, -]       # BLCMSK BLCI
12: [R ?*2, -*6]              # LLWPCB SLWPCB
80 81 90-9B C1-C3 C6 C7 CB D1-D3 D6 D7 DB E1-E3: Ex
82: Ed                        # VFRCZSS
83: Eq                        # VFRCZSD
`;
export const xop10Text = `
10: Ey Id                     # BEXTR
12: [Ed Id ?*2, -*6]          # LWPINS LWPVAL
`;
