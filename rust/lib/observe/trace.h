/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The trace events of a module that maps memory: events/mapwright/ in tracefs, for trace-cmd, perf
 * and bpftrace. The numbers of backing, method and caching are those of the ioctl interface.
 */
#ifndef MAPKIT_TRACE_SYSTEM
#define MAPKIT_TRACE_SYSTEM mapwright
#endif
#undef TRACE_SYSTEM
#define TRACE_SYSTEM MAPKIT_TRACE_SYSTEM

#if !defined(MAPKIT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MAPKIT_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

TRACE_EVENT(region_create,
	TP_PROTO(u64 region, u32 backing, u32 method, u32 caching, u64 bytes),
	TP_ARGS(region, backing, method, caching, bytes),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, bytes)
		__field(u32, backing)
		__field(u32, method)
		__field(u32, caching)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->bytes = bytes;
		__entry->backing = backing;
		__entry->method = method;
		__entry->caching = caching;
	),
	TP_printk("region=%llu backing=%u method=%u caching=%u bytes=%llu",
		  __entry->region, __entry->backing, __entry->method,
		  __entry->caching, __entry->bytes)
);

TRACE_EVENT(region_destroy,
	TP_PROTO(u64 region),
	TP_ARGS(region),
	TP_STRUCT__entry(
		__field(u64, region)
	),
	TP_fast_assign(
		__entry->region = region;
	),
	TP_printk("region=%llu", __entry->region)
);

DECLARE_EVENT_CLASS(region_vma,
	TP_PROTO(u64 region, unsigned long start, unsigned long end),
	TP_ARGS(region, start, end),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(unsigned long, start)
		__field(unsigned long, end)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("region=%llu start=0x%lx end=0x%lx",
		  __entry->region, __entry->start, __entry->end)
);

DEFINE_EVENT(region_vma, region_mmap,
	TP_PROTO(u64 region, unsigned long start, unsigned long end),
	TP_ARGS(region, start, end)
);

DEFINE_EVENT(region_vma, region_munmap,
	TP_PROTO(u64 region, unsigned long start, unsigned long end),
	TP_ARGS(region, start, end)
);

TRACE_EVENT(region_fault,
	TP_PROTO(u64 region, unsigned long address, bool write, unsigned long nr_pages),
	TP_ARGS(region, address, write, nr_pages),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(unsigned long, address)
		__field(unsigned long, nr_pages)
		__field(bool, write)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->address = address;
		__entry->nr_pages = nr_pages;
		__entry->write = write;
	),
	TP_printk("region=%llu address=0x%lx %s pages=%lu",
		  __entry->region, __entry->address,
		  __entry->write ? "store" : "load", __entry->nr_pages)
);

#endif /* MAPKIT_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
