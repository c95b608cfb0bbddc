/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What bindgen makes mapkit's ffi.rs of: all that Rust has from C and that the kernel's crate `bindings`
 * lacks. Which functions and structures these are, bindgen_parameters says.
 */

#include <linux/device/bus.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mman.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/pgtable.h>
#include <linux/pm_runtime.h>
#include <linux/set_memory.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/suspend.h>
#include <linux/vmalloc.h>
#include "mapkit.h"
#include "series/names.h"
#include "observe/trace.h"

/* A macro that bindgen cannot evaluate, as a number of that type and that name. */
#define CONSTANT(type, name) const type RUST_CONST_HELPER_##name = name

CONSTANT(gfp_t, GFP_HIGHUSER);
CONSTANT(gfp_t, GFP_NOFS);
CONSTANT(gfp_t, GFP_NOIO);
CONSTANT(gfp_t, GFP_USER);
CONSTANT(gfp_t, __GFP_ACCOUNT);
CONSTANT(gfp_t, __GFP_COMP);
CONSTANT(gfp_t, __GFP_DMA);
CONSTANT(gfp_t, __GFP_DMA32);
CONSTANT(gfp_t, __GFP_MOVABLE);
CONSTANT(gfp_t, __GFP_NORETRY);
CONSTANT(gfp_t, __GFP_RECLAIM);
CONSTANT(gfp_t, __GFP_RECLAIMABLE);
CONSTANT(gfp_t, __GFP_RETRY_MAYFAIL);
CONSTANT(gfp_t, __GFP_THISNODE);

CONSTANT(slab_flags_t, SLAB_ACCOUNT);
CONSTANT(slab_flags_t, SLAB_CACHE_DMA);
CONSTANT(slab_flags_t, SLAB_CACHE_DMA32);
CONSTANT(slab_flags_t, SLAB_CONSISTENCY_CHECKS);
CONSTANT(slab_flags_t, SLAB_HWCACHE_ALIGN);
CONSTANT(slab_flags_t, SLAB_NO_MERGE);
CONSTANT(slab_flags_t, SLAB_POISON);
CONSTANT(slab_flags_t, SLAB_RECLAIM_ACCOUNT);
CONSTANT(slab_flags_t, SLAB_RED_ZONE);
CONSTANT(slab_flags_t, SLAB_STORE_USER);

CONSTANT(unsigned long, MAP_FIXED);

CONSTANT(size_t, PCPU_MIN_UNIT_SIZE);

CONSTANT(unsigned long, BUS_NOTIFY_DRIVER_NOT_BOUND);
CONSTANT(unsigned long, BUS_NOTIFY_UNBIND_DRIVER);
CONSTANT(int, NOTIFY_DONE);
CONSTANT(unsigned long, PM_HIBERNATION_PREPARE);
CONSTANT(unsigned long, PM_POST_HIBERNATION);
CONSTANT(unsigned long, PM_POST_RESTORE);
CONSTANT(unsigned long, PM_POST_SUSPEND);
CONSTANT(unsigned long, PM_RESTORE_PREPARE);
CONSTANT(unsigned long, PM_SUSPEND_PREPARE);
CONSTANT(int, RPM_ASYNC);
CONSTANT(int, RPM_GET_PUT);

CONSTANT(u32, PCI_ANY_ID);

CONSTANT(umode_t, S_IWUGO);

/* What Linux uses the bits of page-table entries for that the CPU ignores. */
#ifdef CONFIG_X86_64
CONSTANT(unsigned int, _PAGE_BIT_SOFT_DIRTY);
CONSTANT(unsigned int, _PAGE_BIT_SPECIAL);
CONSTANT(unsigned int, _PAGE_BIT_UFFD);
CONSTANT(u64, _PAGE_PROTNONE);
#endif
#ifdef CONFIG_ARM64
CONSTANT(u64, PTE_DIRTY);
CONSTANT(u64, PTE_PRESENT_INVALID);
CONSTANT(u64, PTE_SPECIAL);
CONSTANT(u64, PTE_UFFD);
#endif
#ifdef CONFIG_ARM
CONSTANT(u64, L_PTE_DIRTY);
CONSTANT(u64, L_PTE_NONE);
CONSTANT(u64, L_PTE_PRESENT);
CONSTANT(u64, L_PTE_USER);
CONSTANT(u64, L_PTE_YOUNG);
CONSTANT(u64, PTE_HWTABLE_OFF);
#endif
