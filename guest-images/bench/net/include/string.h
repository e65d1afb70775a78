// lwIP's <string.h> is ours.
#pragma once
#include "lib/string.h"
