// SPDX-License-Identifier: GPL-2.0-only
/* The same trace events as those of mapwright.ko, in a group of their own. */

#define MAPKIT_TRACE_SYSTEM mapwright_buffer
#include "../lib/observe/trace.c"
