// SPDX-License-Identifier: GPL-2.0-only
/*
 * C wrappers for looking at page tables, page frames and the address space's layout: macros and
 * static inline functions that Rust cannot call. What depends on the architecture is at the end.
 */

#include <linux/highmem.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>
#include <asm/fixmap.h>
#include "../mapkit.h"

unsigned long mapkit_local_irq_save(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

void mapkit_local_irq_restore(unsigned long flags)
{
	local_irq_restore(flags);
}

int mapkit_mmap_write_lock_killable(struct mm_struct *mm)
{
	return mmap_write_lock_killable(mm);
}

void mapkit_mmap_write_unlock(struct mm_struct *mm)
{
	mmap_write_unlock(mm);
}

int mapkit_read_memory(u64 phys, void *to, size_t size)
{
	struct page *page = pfn_to_online_page(PHYS_PFN(phys));
	void *from;
	int ret;

	if (!page || offset_in_page(phys) + size > PAGE_SIZE)
		return -ENXIO;
	from = kmap_local_page(page);
	ret = copy_from_kernel_nofault(to, from + offset_in_page(phys), size);
	kunmap_local(from);
	return ret;
}

bool mapkit_is_memory(unsigned long pfn)
{
	return pfn_to_online_page(pfn);
}

long mapkit_probe_kernel(unsigned long addr)
{
	u8 byte;

	return copy_from_kernel_nofault(&byte, (void *)addr, sizeof(byte));
}

long mapkit_counted_pfn(struct mm_struct *mm, unsigned long addr)
{
	struct page *page;
	long ret;

	ret = mmap_read_lock_killable(mm);
	if (ret)
		return ret;
	ret = get_user_pages_remote(mm, addr, 1, FOLL_NOFAULT, &page, NULL);
	mmap_read_unlock(mm);
	if (ret != 1)
		return ret ?: -EFAULT;
	ret = page_to_pfn(page);
	put_page(page);
	return ret;
}

/* As get_pfnblock_migratetype(), which is not exported. */
static enum migratetype migratetype_of(struct page *page, unsigned long pfn)
{
	unsigned long bits = 0;
	unsigned long *map;

#ifdef CONFIG_SPARSEMEM
	struct mem_section_usage *usage;

	/* Freed by RCU when memory is taken away. */
	rcu_read_lock();
	usage = READ_ONCE(__pfn_to_section(pfn)->usage);
	map = usage ? usage->pageblock_flags : NULL;
	pfn &= PAGES_PER_SECTION - 1;
#else
	rcu_read_lock();
	map = page_zone(page)->pageblock_flags;
	pfn -= pageblock_start_pfn(page_zone(page)->zone_start_pfn);
#endif
	if (map) {
		unsigned long bit = (pfn >> pageblock_order) * NR_PAGEBLOCK_BITS;

		bits = READ_ONCE(map[bit / BITS_PER_LONG]) >> (bit % BITS_PER_LONG);
	}
	rcu_read_unlock();
#ifdef CONFIG_MEMORY_ISOLATION
	if (bits & PAGEBLOCK_ISO_MASK)
		return MIGRATE_ISOLATE;
#endif
	return bits & PAGEBLOCK_MIGRATETYPE_MASK;
}

/* As folio_precise_page_mapcount() of fs/proc, for a page that nobody holds. */
static int mapcount_of(const struct page *page, struct page *head, unsigned int order)
{
	int count = atomic_read(&page->_mapcount) + 1;

	if (page_mapcount_is_type(count))
		count = 0;
	if (order > 1 || (IS_ENABLED(CONFIG_64BIT) && order))
		count += atomic_read(&((struct folio *)head)->_entire_mapcount) + 1;
	return count;
}

/*
 * Nobody holds the page, so that looking at it does not change its count: what is told may mix
 * moments, but is only ever read from struct pages.
 */
bool mapkit_frame_of(unsigned long pfn, struct mapkit_frame *frame)
{
	struct page *page = pfn_to_online_page(pfn);
	struct page *head;

	if (!page)
		return false;
	head = compound_head(page);
	frame->page = (unsigned long)page;
	frame->head_pfn = page_to_pfn(head);
	frame->flags = READ_ONCE(page->flags.f);
	frame->refcount = atomic_read(&head->_refcount);
	frame->order = compound_order(head);
	frame->mapcount = mapcount_of(page, head, frame->order);
	frame->node = page_to_nid(page);
	frame->zone = page_zonenum(page);
	frame->migratetype = migratetype_of(page, pfn);
	strscpy(frame->zone_name, page_zone(page)->name ?: "", sizeof(frame->zone_name));
	return true;
}

#if !defined(CONFIG_X86_64) && !defined(CONFIG_ARM64) && !defined(CONFIG_ARM)
#error "The page tables of this architecture are not known here: of x86-64, 64-bit ARM and 32-bit ARM they are."
#endif

static void set_area(struct mapkit_area *area, unsigned long start, unsigned long end)
{
	area->start = start;
	area->last = end - 1;
}

#ifdef CONFIG_X86_64

#include <asm/cpu_entry_area.h>
#include <asm/msr.h>
#include <asm/pgtable_areas.h>
#ifdef CONFIG_KASAN
#include <asm/kasan.h>
#endif

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

#endif /* CONFIG_X86_64 */

#ifdef CONFIG_ARM

#include <asm/highmem.h>
#include <asm/proc-fns.h>

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

#endif /* CONFIG_ARM */

#ifdef CONFIG_ARM64

#include <asm/mmu.h>
#include <asm/sysreg.h>
#include <asm/thread_info.h>
#include <asm/uaccess.h>

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

#endif /* CONFIG_ARM64 */
