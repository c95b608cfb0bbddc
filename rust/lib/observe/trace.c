// SPDX-License-Identifier: GPL-2.0-only
/* The trace events, as functions that Rust can call. */

#include "../mapkit.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

void mapkit_trace_create(u64 region, u32 backing, u32 method, u32 caching, u64 bytes)
{
	trace_region_create(region, backing, method, caching, bytes);
}

void mapkit_trace_destroy(u64 region)
{
	trace_region_destroy(region);
}

void mapkit_trace_mmap(u64 region, unsigned long start, unsigned long end)
{
	trace_region_mmap(region, start, end);
}

void mapkit_trace_munmap(u64 region, unsigned long start, unsigned long end)
{
	trace_region_munmap(region, start, end);
}

void mapkit_trace_fault(u64 region, unsigned long address, bool write, unsigned long nr_pages)
{
	trace_region_fault(region, address, write, nr_pages);
}
