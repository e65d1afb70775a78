/** Three-byte opcodes: Intel SDM vol. 2, appendix A, tables. */

/** 0F 38 xx. */
export const map0f38Text = `
10 14 15: - | Ex              # PBLENDVB BLENDVPS BLENDVPD
80-82: - | Mdq                # INVEPT INVVPID INVPCID
C8-CD: Ex                     # SHA
D8: - | - | [M48*2, M64*2, -*4]                  # AESENCWIDE128KL AESDECWIDE128KL AESENCWIDE256KL AESDECWIDE256KL
DC: - | Ex | E48              # AESENC, AESENC128KL, LOADIWKEY
DD: - | Ex | E48              # AESENCLAST, AESDEC128KL
DE DF: - | Ex | E64           # AESDEC AESDECLAST, AESENC256KL AESDEC256KL
F0: Mv | Mv | - | Eb          # MOVBE CRC32
F1: Mv! | Mv! | - | Ev
F5: - | My!                   # WRUSS
F6: My! | Ey | Ey             # WRSS ADCX ADOX
F8: - | M64 dst64 | M64 dst64 | M64 dst64        # MOVDIR64B ENQCMDS ENQCMD
F9: My!                       # MOVDIRI
FA FB: - | - | R              # ENCODEKEY
FC: My!                       # AADD AAND AXOR AOR
`;

/** 0F 3A xx. */
export const map0f3aText = `
CC: Ex Ib                     # SHA1RNDS4
F0: - | - | R Ib              # HRESET
`;
