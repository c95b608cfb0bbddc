// SPDX-License-Identifier: GPL-2.0-only
/*
 * C wrappers for looking at page tables and page frames: macros and static inline functions that Rust cannot
 * call. x86.c, arm.c and arm64.c have what depends on the architecture.
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

long mapkit_refcounted_pfn(struct mm_struct *mm, unsigned long addr)
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
