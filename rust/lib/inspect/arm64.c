// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables of 64-bit ARM: where they are, and what the kernel keeps where.
 */

#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <asm/mmu.h>
#include <asm/sysreg.h>
#include <asm/thread_info.h>
#include <asm/uaccess.h>
#include "area.h"

/* Each of the two tables translates so many: half of the addresses are user mode's, half the kernel's. */
unsigned int mapkit_address_bits(void)
{
	return vabits_actual;
}

void mapkit_halves(struct mapkit_halves *halves)
{
	halves->user_last = (1UL << vabits_actual) - 1;
	halves->kernel_first = _PAGE_OFFSET(vabits_actual);
	halves->phys_to_virt = PAGE_OFFSET - PHYS_OFFSET;
}

/* What a TTBR says: with 52 bits, the highest four of the physical address are in its lowest. */
static u64 ttbr_to_phys(u64 ttbr)
{
#ifdef CONFIG_ARM64_PA_BITS_52
	return (ttbr & GENMASK_ULL(47, 6)) | (ttbr & GENMASK_ULL(5, 2)) << 46;
#else
	return ttbr & GENMASK_ULL(47, 1);
#endif
}

/* The CPU takes the upper half's table from TTBR1, which in the kernel is the same on each. */
u64 mapkit_kernel_table(struct mm_struct *mm)
{
	return ttbr_to_phys(read_sysreg(ttbr1_el1));
}

static bool is_kernels(u64 addr)
{
	return addr >> 63;
}

u64 mapkit_top_table(struct mm_struct *mm, u64 addr)
{
	return is_kernels(addr) ? mapkit_kernel_table(mm) : __pa(mm->pgd);
}

/* Where the kernel hides itself, TTBR1 has a small table in user mode, before swapper_pg_dir. */
u64 mapkit_user_mode_table(struct mm_struct *mm, u64 addr)
{
	if (!arm64_kernel_unmapped_at_el0())
		return 0;
	if (!is_kernels(addr))
		return __pa(mm->pgd);
	return (mapkit_kernel_table(mm) & PAGE_MASK) - TRAMP_SWAPPER_OFFSET;
}

/* On a CPU without PAN, the kernel takes the table away while it does not use it. */
u64 mapkit_table_register(void)
{
#ifdef CONFIG_ARM64_SW_TTBR0_PAN
	if (system_uses_ttbr0_pan())
		return READ_ONCE(current_thread_info()->ttbr0);
#endif
	return read_sysreg(ttbr0_el1);
}

/* The highest bits are elsewhere with LPA2, and with pages of 64 KiB. */
u64 mapkit_entry_phys(u64 entry)
{
	return __pte_to_phys(__pte(entry));
}

/* With LPA2, an entry has no room to say it. */
bool mapkit_entry_is_shared(u64 entry)
{
	const u64 inner = TCR_SH0_INNER | FIELD_PREP(TCR_SH1_MASK, TCR_EL1_SH1_INNER);

	if (lpa2_is_enabled())
		return (read_tcr() & (TCR_SH0_MASK | TCR_SH1_MASK)) == inner;
	return (entry & PTE_SHARED) == PTE_SHARED;
}

/* The memory attribute indirection register: eight memory types of a byte each. */
u64 mapkit_memory_types(void)
{
	return read_sysreg(mair_el1);
}

bool mapkit_tables_are_physical(void)
{
	return true;
}

/* Whether the kernel's image is at an address: there, virtual and physical ones go in parallel. */
static bool is_image(unsigned long addr)
{
	const struct page *page = vmalloc_to_page((void *)addr);

	return page && page_to_phys(page) == addr - kimage_voffset;
}

/* The end of the part of the image around @addr, or its start if @step is negative. */
static unsigned long image_edge(unsigned long addr, long step)
{
	addr = round_down(addr, SEGMENT_ALIGN);
	while (is_image(addr + step))
		addr += step;
	return step > 0 ? addr + step : addr;
}

void mapkit_areas(struct mapkit_area areas[MAPKIT_AREAS])
{
	unsigned long start = _PAGE_OFFSET(vabits_actual);
	unsigned long end = (unsigned long)high_memory;
	unsigned long here = (unsigned long)mapkit_areas;

	set_area(&areas[MAPKIT_DIRECT_MAP], start, end);
	set_area(&areas[MAPKIT_VMALLOC], VMALLOC_START, VMALLOC_END);
	set_area(&areas[MAPKIT_VMEMMAP], (unsigned long)virt_to_page(start),
		 (unsigned long)(virt_to_page(end - 1) + 1));
	/* With KASLR, modules are near the kernel's image in the vmalloc area, as this one tells. */
	if (here >= MODULES_VADDR && here < MODULES_END)
		set_area(&areas[MAPKIT_MODULES], MODULES_VADDR, MODULES_END);
	/* Nobody tells a module where the image begins and ends. Code is before data. */
	set_area(&areas[MAPKIT_KERNEL_IMAGE],
		 image_edge((unsigned long)_printk, -(long)SEGMENT_ALIGN),
		 image_edge((unsigned long)&init_task, SEGMENT_ALIGN));
	set_area(&areas[MAPKIT_FIXMAP], FIXADDR_TOT_START, FIXADDR_TOP);
	set_area(&areas[MAPKIT_PCI_IO], PCI_IO_START, PCI_IO_END);
#if defined(CONFIG_KASAN_GENERIC) || defined(CONFIG_KASAN_SW_TAGS)
	set_area(&areas[MAPKIT_KASAN], KASAN_SHADOW_START, KASAN_SHADOW_END);
#endif
}
