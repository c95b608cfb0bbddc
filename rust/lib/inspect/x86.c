// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables of x86-64: where they are, and what the kernel keeps where.
 */

#include <linux/mm.h>
#include <asm/cpu_entry_area.h>
#include <asm/msr.h>
#include <asm/pgtable_areas.h>
#ifdef CONFIG_KASAN
#include <asm/kasan.h>
#endif
#include "area.h"

unsigned int mapkit_address_bits(void)
{
	return __VIRTUAL_MASK_SHIFT + 1;
}

/* The highest bit that is translated is the sign. */
void mapkit_halves(struct mapkit_halves *halves)
{
	halves->user_last = __VIRTUAL_MASK;
	halves->kernel_first = ~__VIRTUAL_MASK;
	halves->phys_to_virt = PAGE_OFFSET;
}

u64 mapkit_top_table(struct mm_struct *mm, u64 addr)
{
	return __pa(mm->pgd);
}

/* Every process has the kernel's entries in its top table. */
u64 mapkit_kernel_table(struct mm_struct *mm)
{
	return __pa(mm->pgd);
}

/* What the CPU walks in user mode where the kernel hides itself, else 0. */
u64 mapkit_user_mode_table(struct mm_struct *mm, u64 addr)
{
#ifdef CONFIG_MITIGATION_PAGE_TABLE_ISOLATION
	if (boot_cpu_has(X86_FEATURE_PTI))
		return __pa(kernel_to_user_pgdp(mm->pgd));
#endif
	return 0;
}

u64 mapkit_table_register(void)
{
	return __read_cr3();
}

u64 mapkit_entry_phys(u64 entry)
{
	return entry & PTE_PFN_MASK;
}

/* The page attribute table: eight memory types of a byte each. */
u64 mapkit_memory_types(void)
{
	u64 types = 0x0007040600070406ULL;

	if (boot_cpu_has(X86_FEATURE_PAT))
		rdmsrq(MSR_IA32_CR_PAT, types);
	return types;
}

/* A paravirtualized Xen guest's entries hold the machine's frames instead. */
bool mapkit_tables_are_physical(void)
{
	return !boot_cpu_has(X86_FEATURE_XENPV);
}

void mapkit_areas(struct mapkit_area areas[MAPKIT_AREAS])
{
	unsigned long end = (unsigned long)high_memory;

	set_area(&areas[MAPKIT_DIRECT_MAP], PAGE_OFFSET, end);
	set_area(&areas[MAPKIT_VMALLOC], VMALLOC_START, VMALLOC_END + 1);
	set_area(&areas[MAPKIT_VMEMMAP], VMEMMAP_START,
		 (unsigned long)(vmemmap + (__pa(end - 1) >> PAGE_SHIFT) + 1));
	set_area(&areas[MAPKIT_MODULES], MODULES_VADDR, MODULES_END);
	set_area(&areas[MAPKIT_KERNEL_IMAGE], __START_KERNEL_map,
		 __START_KERNEL_map + KERNEL_IMAGE_SIZE);
	set_area(&areas[MAPKIT_FIXMAP], FIXADDR_TOT_START, FIXADDR_TOP);
	set_area(&areas[MAPKIT_CPU_ENTRY], CPU_ENTRY_AREA_BASE,
		 CPU_ENTRY_AREA_BASE + CPU_ENTRY_AREA_MAP_SIZE);
#ifdef CONFIG_KASAN
	set_area(&areas[MAPKIT_KASAN], KASAN_SHADOW_START, KASAN_SHADOW_END);
#endif
	set_area(&areas[MAPKIT_LDT], LDT_BASE_ADDR, LDT_END_ADDR);
}
