// Ways to leave.
#pragma once

_Noreturn void power_off(void);
_Noreturn void triple_fault(void);
