/** One-byte opcodes: Intel SDM vol. 2, appendix A, tables. */
export const oneByteText = `
00 08 10 18 20 28 30: Eb!     # ADD OR ADC SBB AND SUB XOR
01 09 11 19 21 29 31: Ev!
38: Eb                        # CMP
39: Ev
02 0A 12 1A 22 2A 32 3A: Eb
03 0B 13 1B 23 2B 33 3B: Ev
04 0C 14 1C 24 2C 34 3C: Ib
05 0D 15 1D 25 2D 35 3D: Iz
06 0E 16 1E @i64: push        # PUSH of a segment register
07 17 1F @i64: pop desc
27 2F 37 3F @i64: .           # DAA DAS AAA AAS
40-4F @i64: .                 # INC DEC
50-57: push
58-5F: pop
60 @i64: pusha
61 @i64: popa
62 @i64: Ma                   # BOUND
63 @i64: Ew!                  # ARPL
63 @o64: Ed                   # MOVSXD, with 66 at most
68: push Iz
69: Ev Iz                     # IMUL
6A: push Ib
6B: Ev Ib
6C: Yb!                       # INS
6D: Yz!
6E: Xb                        # OUTS
6F: Xz
70-7F: Ib                     # Jcc
80: [Eb!*7, Eb] Ib            # ADD OR ADC SBB AND SUB XOR CMP
81: [Ev!*7, Ev] Iz
82 @i64: [Eb!*7, Eb] Ib
83: [Ev!*7, Ev] Ib
84: Eb                        # TEST
85: Ev
86: Eb!                       # XCHG
87: Ev!
88: Eb!                       # MOV
89: Ev!
8A: Eb
8B: Ev
8C: Ew!                       # MOV from a segment register
8D: M0                        # LEA
8E: Ew desc                   # MOV to a segment register
8F: [Ed64! popm, -*7]         # POP
90-99: .                      # XCHG with rAX, CBW, CWD
9A @i64: callf Ap desc
9B: .                         # FWAIT
9C: push                      # PUSHF
9D: pop                       # POPF
9E 9F: .                      # SAHF LAHF
A0: Ob                        # MOV
A1: Ov
A2: Ob!
A3: Ov!
A4: Xb Yb!                    # MOVS
A5: Xv Yv!
A6: Xb Yb                     # CMPS
A7: Xv Yv
A8: Ib                        # TEST
A9: Iz
AA: Yb!                       # STOS
AB: Yv!
AC: Xb                        # LODS
AD: Xv
AE: Yb                        # SCAS
AF: Yv
B0-B7: Ib                     # MOV
B8-BF: Iv
C0: [Eb!*8] Ib                # ROL ROR RCL RCR SHL SHR SHL SAR
C1: [Ev!*8] Ib
C2: ret Iw
C3: ret
C4 C5 @i64: Mp desc           # LES LDS
C6: [Eb!, -*6, R] Ib          # MOV, XABORT
C7: [Ev!, -*6, R] Iz          # MOV, XBEGIN
C8: enter IwIb
C9: leave
CA: retf Iw desc
CB: retf desc
CC: int desc                  # INT3
CD: int Ib desc               # INT n
CE @i64: int desc             # INTO
CF: iret desc
D0 D2: [Eb!*8]                # shifts by 1 and by CL
D1 D3: [Ev!*8]
D4 D5 @i64: Ib                # AAM AAD
D6 @i64: .                    # SALC
D7: xlat
D8: [Ed*8]                    # x87, 32-bit real arithmetic; tables A-7 to A-22
D9: [Ed, R, Ed!*2, Eenv, Ew, Eenv!, Ew!]        # FLD FNOP FST FSTP FLDENV FLDCW FNSTENV FNSTCW
DA: [Ed*8]
DB: [Ed, Ed!*3, R, Et, R, Et!]                  # FILD FISTTP FIST FISTP - FLD - FSTP
DC: [Eq*8]
DD: [Eq, Eq!*3, Efpu, R, Efpu!, Ew!]            # FLD FISTTP FST FSTP FRSTOR - FNSAVE FNSTSW
DE: [Ew*8]
DF: [Ew, Ew!*3, Et, Eq, Et!, Eq!]               # FILD FISTTP FIST FISTP FBLD FILD FBSTP FISTP
E0-E7: Ib                     # LOOP JCXZ IN OUT
E8: call Jz
E9: Jz
EA @i64: Ap desc              # JMP far
EB: Ib
EC-EF: .                      # IN OUT
F1: int desc                  # INT1
F4 F5: .                      # HLT CMC
F6: [Eb Ib*2, Eb!*2, Eb*4]    # TEST NOT NEG MUL IMUL DIV IDIV
F7: [Ev Iz*2, Ev!*2, Ev*4]
F8-FD: .                      # CLC STC CLI STI CLD STD
FE: [Eb!*2, -*6]              # INC DEC
FF: [Ev!*2, Ef64 call, Mp callf desc, Ef64, Mp desc, Ed64 push, -]  # INC DEC CALL CALLF JMP JMPF PUSH
`;
