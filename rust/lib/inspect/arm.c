// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables of 32-bit ARM: where they are, and what the kernel keeps where.
 */

#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <asm/highmem.h>
#include <asm/proc-fns.h>
#include "area.h"

unsigned int mapkit_address_bits(void)
{
	return BITS_PER_LONG;
}

void mapkit_halves(struct mapkit_halves *halves)
{
	halves->user_last = PAGE_OFFSET - 1;
	halves->kernel_first = PAGE_OFFSET;
	halves->phys_to_virt = (u64)PAGE_OFFSET - PHYS_OFFSET;
}

u64 mapkit_top_table(struct mm_struct *mm, u64 addr)
{
	return __pa(mm->pgd);
}

/* A process gets the kernel's newer entries only when it needs them; TTBR1 has them all. */
u64 mapkit_kernel_table(struct mm_struct *mm)
{
#ifdef CONFIG_ARM_LPAE
	return __pa(mm->pgd);
#else
	unsigned long table;

	asm("mrc p15, 0, %0, c2, c0, 1" : "=r" (table));
	return table & ~0x3fffUL;
#endif
}

u64 mapkit_user_mode_table(struct mm_struct *mm, u64 addr)
{
	return 0;
}

u64 mapkit_table_register(void)
{
#ifdef CONFIG_ARM_LPAE
	return cpu_get_ttbr(0);
#else
	unsigned long table;

	asm("mrc p15, 0, %0, c2, c0, 0" : "=r" (table));
	return table;
#endif
}

u64 mapkit_entry_phys(u64 entry)
{
	return entry & PHYS_MASK & PAGE_MASK;
}

/*
 * The memory types by number: of a long descriptor MAIR0 and MAIR1, a byte each; of a short one the
 * primary region remap register, two bits each.
 */
u64 mapkit_memory_types(void)
{
	u32 low, high;

	asm("mrc p15, 0, %0, c10, c2, 0" : "=r" (low));
	asm("mrc p15, 0, %0, c10, c2, 1" : "=r" (high));
	return (u64)high << 32 | low;
}

/* arm.rs knows short descriptors, not the long ones. */
bool mapkit_tables_are_physical(void)
{
	return !IS_ENABLED(CONFIG_ARM_LPAE);
}

void mapkit_areas(struct mapkit_area areas[MAPKIT_AREAS])
{
	set_area(&areas[MAPKIT_DIRECT_MAP], PAGE_OFFSET, (unsigned long)high_memory);
	set_area(&areas[MAPKIT_VMALLOC], VMALLOC_START, VMALLOC_END);
	set_area(&areas[MAPKIT_MODULES], MODULES_VADDR, MODULES_END);
	set_area(&areas[MAPKIT_FIXMAP], FIXADDR_START, FIXADDR_END);
#ifdef CONFIG_KASAN
	set_area(&areas[MAPKIT_KASAN], KASAN_SHADOW_START, KASAN_SHADOW_END);
#endif
#ifdef CONFIG_HIGHMEM
	set_area(&areas[MAPKIT_PKMAP], PKMAP_ADDR(0), PKMAP_ADDR(LAST_PKMAP));
#endif
}
