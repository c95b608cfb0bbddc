// SPDX-License-Identifier: GPL-2.0-only
/*
 * mapwright_twin_dma: what mapwright_dma.ko does to lend memory to its device, written in C.
 *
 * What the Rust module is measured against. It takes the ioctl MEASURE of rust/uapi/dma.rs, maps memory
 * of its own for the same PCI device by the same calls of the kernel, checks the same, and holds the same
 * references. In place of a region's number it takes that of a backing: pages or vmalloc.
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

#define TWIN_IOC_MEASURE	_IO(0xe7, 0x27)
#define TWIN_COHERENT		1
#define TWIN_NS			2
#define TWIN_MAX_TURNS		64
#define TWIN_MAX_BYTES		(4UL << 20)
#define TWIN_PHASES		4

enum twin_backing {
	TWIN_PAGES = 1,
	TWIN_VMALLOC = 3,
};

enum twin_lending {
	TWIN_SCATTER,
	TWIN_SCATTER_PAGES,
	TWIN_SINGLE,
	TWIN_PAGE,
};

struct twin_measure {
	u32 size;
	u32 flags;
	u64 region;
	u64 first;
	u64 bytes;
	u32 lending;
	u32 turns;
	u64 phases[TWIN_PHASES];
};

struct twin_device {
	struct kref ref;
	struct device *dev;
};

struct twin_memory {
	struct kref ref;
	void *addr;
	size_t bytes;
	bool vmalloc;
};

/* Memory that the device has, or the CPU after it. */
struct twin_loan {
	struct twin_device *device;
	struct twin_memory *memory;
	size_t bytes;
	enum dma_data_direction direction;
	bool list;
	union {
		dma_addr_t bus;
		struct sg_table table;
	};
};

static struct pci_dev *twin_pci;
static struct twin_device *twin_device;

static void twin_device_free(struct kref *ref)
{
	kfree(container_of(ref, struct twin_device, ref));
}

static void twin_memory_free(struct kref *ref)
{
	struct twin_memory *memory = container_of(ref, struct twin_memory, ref);

	if (memory->vmalloc)
		vfree(memory->addr);
	else if (memory->addr)
		free_pages_exact(memory->addr, memory->bytes);
	kfree(memory);
}

static struct twin_memory *twin_memory_new(u64 backing, size_t bytes)
{
	struct twin_memory *memory = kzalloc_obj(*memory);

	if (!memory)
		return NULL;
	kref_init(&memory->ref);
	memory->bytes = PAGE_ALIGN(bytes);
	memory->vmalloc = backing == TWIN_VMALLOC;
	memory->addr = memory->vmalloc ? vzalloc(memory->bytes) :
					 alloc_pages_exact(memory->bytes, GFP_KERNEL | __GFP_ZERO);
	if (!memory->addr) {
		kref_put(&memory->ref, twin_memory_free);
		return NULL;
	}
	return memory;
}

static struct page *twin_page(const struct twin_memory *memory, size_t offset)
{
	return memory->vmalloc ? vmalloc_to_page(memory->addr + offset) :
				 virt_to_page(memory->addr + offset);
}

static int twin_map_list(struct twin_loan *loan, size_t first, size_t max_bytes)
{
	struct device *dev = loan->device->dev;
	size_t start = PAGE_ALIGN_DOWN(first), offset;
	size_t count = (PAGE_ALIGN(first + loan->bytes) - start) >> PAGE_SHIFT, i;
	struct page **pages;
	int ret;

	pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;
	for (i = 0, offset = start; i < count; i++, offset += PAGE_SIZE)
		pages[i] = twin_page(loan->memory, offset);
	ret = sg_alloc_table_from_pages_segment(&loan->table, pages, count, offset_in_page(first),
						loan->bytes, max_bytes, GFP_KERNEL_ACCOUNT);
	kvfree(pages);
	if (ret)
		return ret;
	ret = dma_map_sgtable(dev, &loan->table, loan->direction, 0);
	if (ret)
		sg_free_table(&loan->table);
	return ret;
}

static int twin_map_one(struct twin_loan *loan, size_t first)
{
	struct device *dev = loan->device->dev;

	loan->bus = dma_map_page(dev, twin_page(loan->memory, first), offset_in_page(first),
				 loan->bytes, loan->direction);
	return dma_mapping_error(dev, loan->bus);
}

/* Takes the reference to the memory, and one to the device. */
static noinline int twin_map(struct twin_loan *loan, struct twin_device *device,
			     struct twin_memory *memory, size_t first, size_t bytes, u32 lending)
{
	size_t end;
	int ret;

	*loan = (struct twin_loan){
		.device = device,
		.memory = memory,
		.bytes = bytes,
		.direction = DMA_BIDIRECTIONAL,
	};
	ret = -EINVAL;
	if (!bytes || check_add_overflow(first, bytes, &end) || end > memory->bytes)
		goto put;
	switch (lending) {
	case TWIN_SINGLE:
		ret = memory->vmalloc ? -EOPNOTSUPP : twin_map_one(loan, first);
		break;
	case TWIN_PAGE:
		if (offset_in_page(first) + bytes <= PAGE_SIZE)
			ret = twin_map_one(loan, first);
		break;
	case TWIN_SCATTER:
	case TWIN_SCATTER_PAGES:
		loan->list = true;
		ret = twin_map_list(loan, first, lending == TWIN_SCATTER ? UINT_MAX : PAGE_SIZE);
		break;
	}
	if (ret)
		goto put;
	kref_get(&device->ref);
	return 0;
put:
	kref_put(&memory->ref, twin_memory_free);
	return ret;
}

static noinline void twin_sync_for_cpu(struct twin_loan *loan)
{
	if (loan->list)
		dma_sync_sgtable_for_cpu(loan->device->dev, &loan->table, loan->direction);
	else
		dma_sync_single_for_cpu(loan->device->dev, loan->bus, loan->bytes, loan->direction);
}

static noinline void twin_sync_for_device(struct twin_loan *loan)
{
	if (loan->list)
		dma_sync_sgtable_for_device(loan->device->dev, &loan->table, loan->direction);
	else
		dma_sync_single_for_device(loan->device->dev, loan->bus, loan->bytes, loan->direction);
}

static noinline void twin_unmap(struct twin_loan *loan)
{
	if (loan->list) {
		dma_unmap_sgtable(loan->device->dev, &loan->table, loan->direction, 0);
		sg_free_table(&loan->table);
	} else {
		dma_unmap_page(loan->device->dev, loan->bus, loan->bytes, loan->direction);
	}
	kref_put(&loan->memory->ref, twin_memory_free);
	kref_put(&loan->device->ref, twin_device_free);
}

static __always_inline u64 twin_clock(bool ns)
{
	return ns ? ktime_get_mono_fast_ns() : get_cycles();
}

static __always_inline int twin_lend(const struct twin_measure *measure, struct twin_memory *memory,
				     u64 *times, bool ns)
{
	struct twin_loan loan;
	int ret;

	kref_get(&memory->ref);
	times[0] = twin_clock(ns);
	ret = twin_map(&loan, twin_device, memory, measure->first, measure->bytes, measure->lending);
	if (ret)
		return ret;
	times[1] = twin_clock(ns);
	twin_sync_for_cpu(&loan);
	times[2] = twin_clock(ns);
	twin_sync_for_device(&loan);
	times[3] = twin_clock(ns);
	twin_unmap(&loan);
	times[4] = twin_clock(ns);
	return 0;
}

static __always_inline int twin_allocate(const struct twin_measure *measure, u64 *times, bool ns)
{
	size_t bytes = PAGE_ALIGN(measure->bytes);
	struct twin_device *device = twin_device;
	dma_addr_t bus;
	void *addr;

	times[0] = twin_clock(ns);
	addr = dma_alloc_coherent(device->dev, bytes, &bus,
				  GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL);
	if (!addr)
		return -ENOMEM;
	kref_get(&device->ref);
	times[1] = twin_clock(ns);
	times[2] = twin_clock(ns);
	times[3] = twin_clock(ns);
	dma_free_coherent(device->dev, bytes, addr, bus);
	kref_put(&device->ref, twin_device_free);
	times[4] = twin_clock(ns);
	return 0;
}

static void twin_note(u64 *least, const u64 *times)
{
	int i;

	for (i = 0; i < TWIN_PHASES; i++)
		least[i] = min(least[i], times[i + 1] - times[i]);
}

static __always_inline int twin_repeat(struct twin_measure *measure, struct twin_memory *memory, bool ns)
{
	u64 least[TWIN_PHASES], nothing[TWIN_PHASES], times[TWIN_PHASES + 1];
	int i, ret;
	u32 turn;

	memset(least, 0xff, sizeof(least));
	memset(nothing, 0xff, sizeof(nothing));
	for (turn = 0; turn < measure->turns; turn++) {
		if (signal_pending(current))
			return -EINTR;
		ret = memory ? twin_lend(measure, memory, times, ns) : twin_allocate(measure, times, ns);
		if (ret)
			return ret;
		twin_note(least, times);
		for (i = 0; i < TWIN_PHASES + 1; i++)
			times[i] = twin_clock(ns);
		twin_note(nothing, times);
	}
	for (i = 0; i < TWIN_PHASES; i++)
		measure->phases[i] = least[i] > nothing[i] ? least[i] - nothing[i] : 0;
	return 0;
}

static long twin_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct twin_memory *memory = NULL;
	struct twin_measure measure;
	int ret;

	if (cmd != TWIN_IOC_MEASURE)
		return -ENOTTY;
	if (copy_from_user(&measure, user, sizeof(measure)))
		return -EFAULT;
	if (measure.size != sizeof(measure) || measure.flags & ~(TWIN_COHERENT | TWIN_NS) ||
	    !measure.turns || measure.turns > TWIN_MAX_TURNS || !measure.bytes ||
	    measure.bytes > TWIN_MAX_BYTES || measure.first > TWIN_MAX_BYTES)
		return -EINVAL;
	if (!(measure.flags & TWIN_COHERENT)) {
		memory = twin_memory_new(measure.region, measure.first + measure.bytes);
		if (!memory)
			return -ENOMEM;
	}
	ret = measure.flags & TWIN_NS ? twin_repeat(&measure, memory, true) :
					twin_repeat(&measure, memory, false);
	if (memory)
		kref_put(&memory->ref, twin_memory_free);
	if (ret)
		return ret;
	return copy_to_user(user, &measure, sizeof(measure)) ? -EFAULT : 0;
}

static const struct file_operations twin_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = twin_ioctl,
};

static struct miscdevice twin_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &twin_fops,
	.mode = 0600,
};

static int __init twin_init(void)
{
	int ret = -ENODEV;

	twin_pci = pci_get_device(0x1234, 0x11e8, NULL);
	if (!twin_pci)
		return ret;
	/* Its driver has set the mask. */
	if (!twin_pci->dev.driver)
		goto put;
	ret = -ENOMEM;
	twin_device = kzalloc_obj(*twin_device);
	if (!twin_device)
		goto put;
	kref_init(&twin_device->ref);
	twin_device->dev = &twin_pci->dev;
	ret = misc_register(&twin_misc);
	if (!ret)
		return 0;
	kref_put(&twin_device->ref, twin_device_free);
put:
	pci_dev_put(twin_pci);
	return ret;
}
module_init(twin_init);

static void __exit twin_exit(void)
{
	misc_deregister(&twin_misc);
	kref_put(&twin_device->ref, twin_device_free);
	pci_dev_put(twin_pci);
}
module_exit(twin_exit);

MODULE_AUTHOR("The mapwright developers");
MODULE_DESCRIPTION("What mapwright_dma does to lend memory, in C, to measure it against");
MODULE_LICENSE("GPL");
