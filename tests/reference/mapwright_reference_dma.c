// SPDX-License-Identifier: GPL-2.0-only
/*
 * mapwright_reference_dma: what mapwright_dma.ko does to map memory for its device, written in C.
 *
 * What the Rust module is measured against. It takes the ioctl MEASURE of rust/uapi/dma.rs, maps memory
 * of its own for the same PCI device, checks the same, and holds the same references: none while it
 * maps, as the memory and the device stay. As there, memory is of any backing, which a table of
 * operations stands for, and is made of as few blocks as there can be. In place of a region's number it
 * takes that of a backing: pages or vmalloc.
 *
 * Not for use: it has no regions, and the device must keep its driver while this is loaded.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cleanup.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#define REF_IOC_MEASURE	_IO(0xe7, 0x27)
#define REF_COHERENT		1
#define REF_NS			2
#define REF_MAX_TURNS		64
#define REF_MAX_BYTES		(4UL << 20)
#define REF_PHASES		4

enum ref_backing {
	REF_PAGES = 1,
	REF_VMALLOC = 3,
};

enum ref_map_call {
	REF_SCATTER,
	REF_SCATTER_PAGES,
	REF_SINGLE,
	REF_PAGE,
};

struct ref_measure {
	u32 size;
	u32 flags;
	u64 region;
	u64 first;
	u64 bytes;
	u32 map_call;
	u32 turns;
	u64 phases[REF_PHASES];
};

struct ref_device {
	struct kref ref;
	struct device *dev;
	/* There is memory that it does not reach by itself: then nothing is mapped. */
	bool limited;
};

struct ref_memory;

struct ref_run {
	unsigned long pfn;
	size_t nr_pages;
};

struct ref_backing_ops {
	size_t (*nr_pages)(const struct ref_memory *memory);
	/* The frames from a page on, as far as they are contiguous and cheap to tell. */
	bool (*run_at)(const struct ref_memory *memory, size_t page, struct ref_run *run);
	/* Their struct pages: how many were filled in. */
	size_t (*struct_pages)(const struct ref_memory *memory, size_t first, struct page **slots,
			       size_t count);
	bool (*in_direct_map)(const struct ref_memory *memory);
	void (*free)(struct ref_memory *memory);
};

#define REF_BLOCK_PAGES	(1UL << MAX_PAGE_ORDER)
#define REF_MAX_BLOCKS		DIV_ROUND_UP(2 * REF_MAX_BYTES, REF_BLOCK_PAGES << PAGE_SHIFT)

struct ref_memory {
	const struct ref_backing_ops *backing;
	size_t nr_pages;
	union {
		void *addr;
		void *blocks[REF_MAX_BLOCKS];
	};
};

/* Memory that the device has, or the CPU after it. */
struct ref_mapping {
	struct ref_device *device;
	struct ref_memory *memory;
	size_t bytes;
	enum dma_data_direction direction;
	bool list;
	union {
		dma_addr_t bus;
		struct sg_table table;
	};
};

static struct pci_dev *ref_pci;
static struct ref_device *ref_device;

static void ref_device_free(struct kref *ref)
{
	kfree(container_of(ref, struct ref_device, ref));
}

static size_t ref_nr_pages(const struct ref_memory *memory)
{
	return memory->nr_pages;
}

static size_t ref_block_pages(size_t left)
{
	return min(left, REF_BLOCK_PAGES);
}

static void *ref_locate(const struct ref_memory *memory, size_t page, size_t *nr_pages)
{
	size_t within = page % REF_BLOCK_PAGES;

	if (page >= memory->nr_pages)
		return NULL;
	*nr_pages = ref_block_pages(memory->nr_pages - (page - within)) - within;
	return memory->blocks[page / REF_BLOCK_PAGES] + (within << PAGE_SHIFT);
}

static bool ref_pages_run_at(const struct ref_memory *memory, size_t page, struct ref_run *run)
{
	void *addr = ref_locate(memory, page, &run->nr_pages);

	if (!addr)
		return false;
	run->pfn = page_to_pfn(virt_to_page(addr));
	return true;
}

static size_t ref_pages_struct_pages(const struct ref_memory *memory, size_t first, struct page **slots,
				      size_t count)
{
	size_t nr_filled = 0, nr_pages, i;

	while (nr_filled < count) {
		void *addr = ref_locate(memory, first + nr_filled, &nr_pages);
		struct page *page;

		if (!addr)
			break;
		page = virt_to_page(addr);
		nr_pages = min(nr_pages, count - nr_filled);
		for (i = 0; i < nr_pages; i++)
			slots[nr_filled++] = page + i;
	}
	return nr_filled;
}

static bool ref_pages_in_direct_map(const struct ref_memory *memory)
{
	return true;
}

static void ref_pages_free(struct ref_memory *memory)
{
	size_t page;

	for (page = 0; page < memory->nr_pages; page += REF_BLOCK_PAGES)
		free_pages_exact(memory->blocks[page / REF_BLOCK_PAGES],
				 ref_block_pages(memory->nr_pages - page) << PAGE_SHIFT);
}

static const struct ref_backing_ops ref_pages = {
	.nr_pages = ref_nr_pages,
	.run_at = ref_pages_run_at,
	.struct_pages = ref_pages_struct_pages,
	.in_direct_map = ref_pages_in_direct_map,
	.free = ref_pages_free,
};

static bool ref_vmalloc_run_at(const struct ref_memory *memory, size_t page, struct ref_run *run)
{
	if (page >= memory->nr_pages)
		return false;
	run->pfn = vmalloc_to_pfn(memory->addr + (page << PAGE_SHIFT));
	run->nr_pages = 1;
	return true;
}

static size_t ref_vmalloc_struct_pages(const struct ref_memory *memory, size_t first, struct page **slots,
					size_t count)
{
	void *addr = memory->addr + (first << PAGE_SHIFT);
	size_t i;

	if (first >= memory->nr_pages)
		return 0;
	count = min(count, memory->nr_pages - first);
	for (i = 0; i < count; i++, addr += PAGE_SIZE)
		slots[i] = vmalloc_to_page(addr);
	return count;
}

static bool ref_vmalloc_in_direct_map(const struct ref_memory *memory)
{
	return false;
}

static void ref_vmalloc_free(struct ref_memory *memory)
{
	vfree(memory->addr);
}

static const struct ref_backing_ops ref_vmalloc = {
	.nr_pages = ref_nr_pages,
	.run_at = ref_vmalloc_run_at,
	.struct_pages = ref_vmalloc_struct_pages,
	.in_direct_map = ref_vmalloc_in_direct_map,
	.free = ref_vmalloc_free,
};

static void ref_memory_free(struct ref_memory *memory)
{
	memory->backing->free(memory);
	kfree(memory);
}

static bool ref_fill(struct ref_memory *memory, size_t nr_pages)
{
	if (memory->backing == &ref_vmalloc) {
		memory->addr = vzalloc(nr_pages << PAGE_SHIFT);
		memory->nr_pages = memory->addr ? nr_pages : 0;
	}
	while (memory->nr_pages < nr_pages && memory->backing == &ref_pages) {
		size_t block = ref_block_pages(nr_pages - memory->nr_pages);
		void *addr = alloc_pages_exact(block << PAGE_SHIFT, GFP_KERNEL | __GFP_ZERO);

		if (!addr)
			break;
		memory->blocks[memory->nr_pages / REF_BLOCK_PAGES] = addr;
		memory->nr_pages += block;
	}
	return memory->nr_pages == nr_pages;
}

static struct ref_memory *ref_memory_new(u64 backing, size_t bytes)
{
	struct ref_memory *memory = kzalloc_obj(*memory);

	if (!memory)
		return NULL;
	memory->backing = backing == REF_VMALLOC ? &ref_vmalloc : &ref_pages;
	if (ref_fill(memory, PAGE_ALIGN(bytes) >> PAGE_SHIFT))
		return memory;
	ref_memory_free(memory);
	return NULL;
}

static int ref_map_list(struct ref_mapping *mapping, size_t first, size_t max_bytes)
{
	const struct ref_memory *memory = mapping->memory;
	struct page *few[16], **pages = few;
	size_t page = first >> PAGE_SHIFT, end, count;
	int ret;

	if (check_add_overflow(first, mapping->bytes, &end) ||
	    end > memory->backing->nr_pages(memory) << PAGE_SHIFT)
		return -EINVAL;
	count = (PAGE_ALIGN(end) >> PAGE_SHIFT) - page;
	if (count > ARRAY_SIZE(few))
		pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;
	ret = -EINVAL;
	if (memory->backing->struct_pages(memory, page, pages, count) == count)
		ret = sg_alloc_table_from_pages_segment(&mapping->table, pages, count, offset_in_page(first),
							mapping->bytes, max_bytes, GFP_KERNEL_ACCOUNT);
	if (pages != few)
		kvfree(pages);
	if (ret)
		return ret;
	mapping->list = true;
	ret = dma_map_sgtable(mapping->device->dev, &mapping->table, mapping->direction, 0);
	if (ret)
		sg_free_table(&mapping->table);
	return ret;
}

static int ref_map_frames(struct ref_mapping *mapping, unsigned long pfn, size_t within)
{
	struct device *dev = mapping->device->dev;

	mapping->bus = dma_map_page(dev, pfn_to_page(pfn), within, mapping->bytes, mapping->direction);
	return dma_mapping_error(dev, mapping->bus);
}

static int ref_map_single(struct ref_mapping *mapping, size_t first)
{
	const struct ref_memory *memory = mapping->memory;
	size_t end;
	struct ref_run run;

	if (!memory->backing->run_at(memory, first >> PAGE_SHIFT, &run) ||
	    check_add_overflow(offset_in_page(first), mapping->bytes, &end))
		return -EINVAL;
	if (end > run.nr_pages << PAGE_SHIFT || !memory->backing->in_direct_map(memory))
		return -EOPNOTSUPP;
	return ref_map_frames(mapping, run.pfn, offset_in_page(first));
}

static int ref_map_page(struct ref_mapping *mapping, size_t first)
{
	const struct ref_memory *memory = mapping->memory;
	struct ref_run run;

	if (mapping->bytes > PAGE_SIZE - offset_in_page(first) ||
	    !memory->backing->run_at(memory, first >> PAGE_SHIFT, &run))
		return -EINVAL;
	return ref_map_frames(mapping, run.pfn, offset_in_page(first));
}

static noinline int ref_map(struct ref_mapping *mapping, struct ref_device *device,
			    struct ref_memory *memory, size_t first, size_t bytes, u32 map_call)
{
	*mapping = (struct ref_mapping){
		.device = device,
		.memory = memory,
		.bytes = bytes,
		.direction = DMA_BIDIRECTIONAL,
	};
	if (!bytes)
		return -EINVAL;
	if (device->limited)
		return -EADDRNOTAVAIL;
	switch (map_call) {
	case REF_SINGLE:
		return ref_map_single(mapping, first);
	case REF_PAGE:
		return ref_map_page(mapping, first);
	default:
		return ref_map_list(mapping, first, map_call == REF_SCATTER ? UINT_MAX : PAGE_SIZE);
	}
}

static noinline void ref_sync_for_cpu(struct ref_mapping *mapping)
{
	if (mapping->list)
		dma_sync_sgtable_for_cpu(mapping->device->dev, &mapping->table, mapping->direction);
	else
		dma_sync_single_for_cpu(mapping->device->dev, mapping->bus, mapping->bytes, mapping->direction);
}

static noinline void ref_sync_for_device(struct ref_mapping *mapping)
{
	if (mapping->list)
		dma_sync_sgtable_for_device(mapping->device->dev, &mapping->table, mapping->direction);
	else
		dma_sync_single_for_device(mapping->device->dev, mapping->bus, mapping->bytes, mapping->direction);
}

static noinline void ref_unmap(struct ref_mapping *mapping)
{
	if (mapping->list) {
		dma_unmap_sgtable(mapping->device->dev, &mapping->table, mapping->direction, 0);
		sg_free_table(&mapping->table);
	} else {
		dma_unmap_page(mapping->device->dev, mapping->bus, mapping->bytes, mapping->direction);
	}
}

static __always_inline u64 ref_clock(bool ns)
{
	return ns ? ktime_get_mono_fast_ns() : get_cycles();
}

static __always_inline int ref_measure_map(const struct ref_measure *measure, struct ref_memory *memory,
					   u64 *times, bool ns)
{
	struct ref_mapping mapping;
	int ret;

	times[0] = ref_clock(ns);
	ret = ref_map(&mapping, ref_device, memory, measure->first, measure->bytes, measure->map_call);
	if (ret)
		return ret;
	times[1] = ref_clock(ns);
	ref_sync_for_cpu(&mapping);
	times[2] = ref_clock(ns);
	ref_sync_for_device(&mapping);
	times[3] = ref_clock(ns);
	ref_unmap(&mapping);
	times[4] = ref_clock(ns);
	return 0;
}

static __always_inline int ref_measure_allocation(const struct ref_measure *measure, u64 *times, bool ns)
{
	size_t bytes = PAGE_ALIGN(measure->bytes);
	struct ref_device *device = ref_device;
	dma_addr_t bus;
	void *addr;

	times[0] = ref_clock(ns);
	addr = dma_alloc_coherent(device->dev, bytes, &bus,
				  GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL);
	if (!addr)
		return -ENOMEM;
	kref_get(&device->ref);
	times[1] = ref_clock(ns);
	times[2] = ref_clock(ns);
	times[3] = ref_clock(ns);
	dma_free_coherent(device->dev, bytes, addr, bus);
	kref_put(&device->ref, ref_device_free);
	times[4] = ref_clock(ns);
	return 0;
}

static void ref_note(u64 *least, const u64 *times)
{
	int i;

	for (i = 0; i < REF_PHASES; i++)
		least[i] = min(least[i], times[i + 1] - times[i]);
}

static __always_inline int ref_repeat(struct ref_measure *measure, struct ref_memory *memory, bool ns)
{
	u64 least[REF_PHASES], nothing[REF_PHASES], times[REF_PHASES + 1];
	int i, ret;
	u32 turn;

	memset(least, 0xff, sizeof(least));
	memset(nothing, 0xff, sizeof(nothing));
	for (turn = 0; turn < measure->turns; turn++) {
		if (signal_pending(current))
			return -EINTR;
		if (memory)
			ret = ref_measure_map(measure, memory, times, ns);
		else
			ret = ref_measure_allocation(measure, times, ns);
		if (ret)
			return ret;
		ref_note(least, times);
		/* No loop, whose turns would be taken for the clock's. */
		times[0] = ref_clock(ns);
		times[1] = ref_clock(ns);
		times[2] = ref_clock(ns);
		times[3] = ref_clock(ns);
		times[4] = ref_clock(ns);
		ref_note(nothing, times);
	}
	for (i = 0; i < REF_PHASES; i++)
		measure->phases[i] = least[i] > nothing[i] ? least[i] - nothing[i] : 0;
	return 0;
}

static long ref_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct ref_memory *memory = NULL;
	struct ref_measure measure;
	int ret;

	if (cmd != REF_IOC_MEASURE)
		return -ENOTTY;
	if (!ref_device)
		return -ENODEV;
	if (copy_from_user(&measure, user, sizeof(measure)))
		return -EFAULT;
	if (measure.size != sizeof(measure) || measure.flags & ~(REF_COHERENT | REF_NS) ||
	    !measure.turns || measure.turns > REF_MAX_TURNS || measure.map_call > REF_PAGE || !measure.bytes ||
	    measure.bytes > REF_MAX_BYTES || measure.first > REF_MAX_BYTES)
		return -EINVAL;
	if (!(measure.flags & REF_COHERENT)) {
		memory = ref_memory_new(measure.region, measure.first + measure.bytes);
		if (!memory)
			return -ENOMEM;
	}
	ret = measure.flags & REF_NS ? ref_repeat(&measure, memory, true) :
					ref_repeat(&measure, memory, false);
	if (memory)
		ref_memory_free(memory);
	if (ret)
		return ret;
	return copy_to_user(user, &measure, sizeof(measure)) ? -EFAULT : 0;
}

static const struct file_operations ref_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = ref_ioctl,
};

static struct miscdevice ref_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &ref_fops,
	.mode = 0600,
};

/* Its driver has set the mask. Without such a device there is nothing to measure. */
static int ref_find(void)
{
	ref_pci = pci_get_device(0x1234, 0x11e8, NULL);
	if (!ref_pci || !ref_pci->dev.driver)
		return 0;
	ref_device = kzalloc_obj(*ref_device);
	if (!ref_device) {
		pci_dev_put(ref_pci);
		return -ENOMEM;
	}
	kref_init(&ref_device->ref);
	ref_device->dev = &ref_pci->dev;
	ref_device->limited = !device_iommu_mapped(ref_device->dev) &&
			       dma_addressing_limited(ref_device->dev);
	return 0;
}

static void ref_forget(void)
{
	if (ref_device)
		kref_put(&ref_device->ref, ref_device_free);
	pci_dev_put(ref_pci);
}

static int __init ref_init(void)
{
	int ret = ref_find();

	if (ret)
		return ret;
	ret = misc_register(&ref_misc);
	if (ret)
		ref_forget();
	return ret;
}
module_init(ref_init);

static void __exit ref_exit(void)
{
	misc_deregister(&ref_misc);
	ref_forget();
}
module_exit(ref_exit);

MODULE_AUTHOR("The mapwright developers");
MODULE_DESCRIPTION("What mapwright_dma does to map memory, in C, to measure it against");
MODULE_LICENSE("GPL");
