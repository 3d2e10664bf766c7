#include "trace/trace-hw_efa_emu.h"
