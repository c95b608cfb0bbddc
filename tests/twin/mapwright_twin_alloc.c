// SPDX-License-Identifier: GPL-2.0-only
/*
 * mapwright_twin_alloc: the loops of mapwright_alloc.ko, written in C.
 *
 * What the plans of the Rust module cost is measured against this. It takes the same ioctl of the same
 * structure, runs pairs and batches of the same allocators with the same flags, looks for signals as
 * often, and reads the same clocks. It has no budget and no records, so it is for measuring only.
 */

#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/platform_device.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#define TWIN_IOC_RUN		_IO(0xe7, 0x21)
#define TWIN_BUCKETS		32
#define TWIN_GFP		(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN)
#define TWIN_MAX_BYTES		(64UL << 20)

enum { TWIN_PAIRS, TWIN_BATCHES };
enum {
	TWIN_KMALLOC, TWIN_KZALLOC, TWIN_KREALLOC, TWIN_KVMALLOC, TWIN_VMALLOC, TWIN_VZALLOC,
	TWIN_PAGES, TWIN_KMEM_CACHE, TWIN_PERCPU, TWIN_COHERENT, TWIN_NOTHING,
};

struct twin_cost {
	u64 ns;
	u64 empty_ns;
	u64 cycles;
	u64 empty_cycles;
};

/* struct mapwright_alloc_run */
struct twin_run {
	u32 size;
	u32 flags;
	u32 allocator;
	u32 pattern;
	u32 gfp;
	u32 modifiers;
	u64 bytes;
	u64 old_bytes;
	u32 order;
	u32 cache_flags;
	u32 align;
	s32 node;
	u32 count;
	u32 batch;
	u64 seed;
	u64 records;
	u32 nr_records;
	u32 cache_number;
	u64 allocated;
	u64 freed;
	u64 failed_memory;
	u64 failed_size;
	u32 first_cpu;
	u32 last_cpu;
	struct twin_cost allocating;
	struct twin_cost freeing;
	u32 allocating_histogram[TWIN_BUCKETS];
	u32 freeing_histogram[TWIN_BUCKETS];
};

struct twin_plan {
	struct device *dev;
	struct kmem_cache *cache;
	size_t bytes;
	size_t old_bytes;
	size_t align;
	unsigned int order;
	gfp_t gfp;
	unsigned long count;
	unsigned long chunk;
	unsigned long batch;
};

struct twin_object {
	void *addr;
};

struct twin_percpu {
	void __percpu *addr;
};

struct twin_coherent {
	void *addr;
	dma_addr_t handle;
};

struct twin_spent {
	u64 ns;
	u64 cycles;
};

struct twin_tally {
	unsigned long allocated;
	unsigned long freed;
	struct twin_spent allocating;
	struct twin_spent freeing;
};

static struct platform_device *twin_device;

static struct twin_spent twin_now(void)
{
	return (struct twin_spent){ .ns = ktime_get_mono_fast_ns(), .cycles = get_cycles() };
}

static void twin_add_since(struct twin_spent *to, struct twin_spent start)
{
	to->cycles += get_cycles() - start.cycles;
	to->ns += ktime_get_mono_fast_ns() - start.ns;
}

static int twin_go_on(void)
{
	if (signal_pending(current))
		return -EINTR;
	cond_resched();
	return 0;
}

/* The loops of one allocator: pairs, and filling and draining of places. */
#define TWIN_LOOPS(name, type, allocate, free)							\
static noinline unsigned long twin_##name##_pairs(const struct twin_plan *plan,		\
						  unsigned long turns)				\
{												\
	unsigned long given = 0;								\
	type o;											\
												\
	while (turns--) {									\
		allocate;									\
		if (o.addr) {									\
			free;									\
			given++;								\
		}										\
	}											\
	return given;										\
}												\
												\
static noinline unsigned long twin_##name##_fill(const struct twin_plan *plan,		\
						 type *place, type *end)			\
{												\
	unsigned long given = 0;								\
	type o;											\
												\
	for (; place < end; place++) {								\
		if (place->addr)								\
			continue;								\
		allocate;									\
		*place = o;									\
		if (o.addr)									\
			given++;								\
	}											\
	return given;										\
}												\
												\
static noinline unsigned long twin_##name##_drain(const struct twin_plan *plan,		\
						  type *place, type *end)			\
{												\
	unsigned long freed = 0;								\
	type o;											\
												\
	for (; place < end; place++) {								\
		o = *place;									\
		place->addr = NULL;								\
		if (o.addr) {									\
			free;									\
			freed++;								\
		}										\
	}											\
	return freed;										\
}												\
												\
static int twin_##name##_run_pairs(const struct twin_plan *plan, struct twin_tally *tally)	\
{												\
	struct twin_spent start = twin_now();							\
	unsigned long done, part;								\
	int ret = 0;										\
												\
	for (done = 0; done < plan->count && !ret; done += part) {				\
		part = min(plan->chunk, plan->count - done);					\
		ret = twin_go_on();								\
		if (!ret)									\
			tally->allocated += twin_##name##_pairs(plan, part);			\
	}											\
	twin_add_since(&tally->allocating, start);						\
	tally->freed = tally->allocated;							\
	return ret;										\
}												\
												\
static int twin_##name##_run_batches(const struct twin_plan *plan, struct twin_tally *tally)	\
{												\
	type *places = kvcalloc(plan->batch, sizeof(*places), GFP_KERNEL);			\
	unsigned long left, batch, done, part;							\
	struct twin_spent start;								\
	int ret = 0;										\
												\
	if (!places)										\
		return -ENOMEM;									\
	for (left = plan->count; left && !ret; left -= batch) {					\
		batch = min(left, plan->batch);							\
		start = twin_now();								\
		for (done = 0; done < batch && !ret; done += part) {				\
			part = min(plan->chunk, batch - done);					\
			ret = twin_go_on();							\
			if (!ret)								\
				tally->allocated += twin_##name##_fill(plan, places + done,	\
								       places + done + part);	\
		}										\
		twin_add_since(&tally->allocating, start);					\
		if (ret)									\
			break;									\
		start = twin_now();								\
		for (done = 0; done < batch && !ret; done += part) {				\
			part = min(plan->chunk, batch - done);					\
			ret = twin_go_on();							\
			if (!ret)								\
				tally->freed += twin_##name##_drain(plan, places + done,	\
								    places + done + part);	\
		}										\
		twin_add_since(&tally->freeing, start);						\
	}											\
	twin_##name##_drain(plan, places, places + plan->batch);				\
	kvfree(places);										\
	return ret;										\
}

static inline void *twin_krealloc(const struct twin_plan *plan)
{
	void *old = kmalloc(plan->old_bytes, plan->gfp);
	void *addr;

	if (!old)
		return NULL;
	addr = krealloc(old, plan->bytes, plan->gfp);
	if (!addr)
		kfree(old);
	return addr;
}

static inline void *twin_nothing(void)
{
	void *addr = ZERO_SIZE_PTR;

	OPTIMIZER_HIDE_VAR(addr);
	return addr;
}

TWIN_LOOPS(kmalloc, struct twin_object,
	   o.addr = kmalloc(plan->bytes, plan->gfp), kfree(o.addr))
TWIN_LOOPS(krealloc, struct twin_object,
	   o.addr = twin_krealloc(plan), kfree(o.addr))
TWIN_LOOPS(kvmalloc, struct twin_object,
	   o.addr = kvmalloc(plan->bytes, plan->gfp), kvfree(o.addr))
TWIN_LOOPS(vmalloc, struct twin_object,
	   o.addr = __vmalloc(plan->bytes, plan->gfp), vfree(o.addr))
TWIN_LOOPS(pages, struct twin_object,
	   o.addr = alloc_pages(plan->gfp, plan->order), __free_pages(o.addr, plan->order))
TWIN_LOOPS(cache, struct twin_object,
	   o.addr = kmem_cache_alloc(plan->cache, plan->gfp),
	   kmem_cache_free(plan->cache, o.addr))
TWIN_LOOPS(percpu, struct twin_percpu,
	   o.addr = __alloc_percpu_gfp(plan->bytes, plan->align, plan->gfp),
	   free_percpu(o.addr))
TWIN_LOOPS(coherent, struct twin_coherent,
	   o.addr = dma_alloc_coherent(plan->dev, plan->bytes, &o.handle, plan->gfp),
	   dma_free_coherent(plan->dev, plan->bytes, o.addr, o.handle))
TWIN_LOOPS(nothing, struct twin_object,
	   o.addr = twin_nothing(), OPTIMIZER_HIDE_VAR(o.addr))

#define TWIN_RUN(name)	(pairs ? twin_##name##_run_pairs(plan, tally) :			\
				 twin_##name##_run_batches(plan, tally))

static int twin_exercise(u32 allocator, bool pairs, const struct twin_plan *plan,
			 struct twin_tally *tally)
{
	switch (allocator) {
	case TWIN_KMALLOC:
	case TWIN_KZALLOC:
		return TWIN_RUN(kmalloc);
	case TWIN_KREALLOC:
		return TWIN_RUN(krealloc);
	case TWIN_KVMALLOC:
		return TWIN_RUN(kvmalloc);
	case TWIN_VMALLOC:
	case TWIN_VZALLOC:
		return TWIN_RUN(vmalloc);
	case TWIN_PAGES:
		return TWIN_RUN(pages);
	case TWIN_KMEM_CACHE:
		return TWIN_RUN(cache);
	case TWIN_PERCPU:
		return TWIN_RUN(percpu);
	case TWIN_COHERENT:
		return TWIN_RUN(coherent);
	case TWIN_NOTHING:
		return TWIN_RUN(nothing);
	}
	return -EINVAL;
}

static bool twin_is_known(const struct twin_run *run)
{
	return !run->flags && !run->gfp && !run->modifiers && !run->cache_flags && !run->nr_records &&
	       run->node == NUMA_NO_NODE && run->count && run->pattern <= TWIN_BATCHES &&
	       !run->batch == (run->pattern == TWIN_PAIRS) && run->order <= MAX_PAGE_ORDER &&
	       run->bytes <= TWIN_MAX_BYTES && run->old_bytes <= TWIN_MAX_BYTES &&
	       (u64)run->batch * (run->bytes ?: PAGE_SIZE << run->order) <= TWIN_MAX_BYTES;
}

/* As often as the Rust module looks: see chunk() in rust/alloc/pattern.rs. */
static unsigned long twin_chunk(const struct twin_run *run)
{
	unsigned long bytes = run->bytes;

	if (run->allocator == TWIN_PAGES)
		bytes = PAGE_SIZE << run->order;
	else if (run->allocator == TWIN_PERCPU)
		bytes *= num_possible_cpus();
	else if (run->allocator == TWIN_VMALLOC || run->allocator == TWIN_VZALLOC)
		bytes = PAGE_ALIGN(bytes);
	else if (bytes > KMALLOC_MAX_CACHE_SIZE)
		bytes = roundup_pow_of_two(PAGE_ALIGN(bytes));
	else
		bytes = roundup_pow_of_two(bytes);
	if (run->allocator == TWIN_KREALLOC)
		bytes += roundup_pow_of_two(run->old_bytes);
	return 1UL << clamp(18 - ilog2(bytes), 0, 10);
}

static int twin_do_run(struct twin_run *run)
{
	bool pairs = run->pattern == TWIN_PAIRS;
	struct twin_tally tally = {}, empty = {};
	struct twin_plan plan = {
		.dev = &twin_device->dev,
		.bytes = run->bytes,
		.old_bytes = run->old_bytes,
		.align = run->align ?: 8,
		.order = run->order,
		.gfp = TWIN_GFP,
		.count = run->count,
		.chunk = twin_chunk(run),
		.batch = run->batch,
	};
	int ret;

	if (run->allocator == TWIN_KZALLOC || run->allocator == TWIN_VZALLOC)
		plan.gfp |= __GFP_ZERO;
	if (run->allocator == TWIN_KMEM_CACHE) {
		plan.cache = kmem_cache_create("mapwright_twin_alloc", run->bytes, run->align, 0, NULL);
		if (!plan.cache)
			return -ENOMEM;
	}
	ret = twin_exercise(run->allocator, pairs, &plan, &tally);
	if (!ret)
		ret = twin_exercise(TWIN_NOTHING, pairs, &plan, &empty);
	kmem_cache_destroy(plan.cache);

	run->allocated = tally.allocated;
	run->freed = tally.freed;
	run->failed_memory = run->count - tally.allocated;
	run->allocating = (struct twin_cost){ tally.allocating.ns, empty.allocating.ns,
					      tally.allocating.cycles, empty.allocating.cycles };
	run->freeing = (struct twin_cost){ tally.freeing.ns, empty.freeing.ns,
					   tally.freeing.cycles, empty.freeing.cycles };
	return ret;
}

static long twin_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct twin_run *run __free(kfree) = kzalloc_obj(*run);
	void __user *user = (void __user *)arg;
	int ret;

	if (cmd != TWIN_IOC_RUN)
		return -ENOTTY;
	if (!run)
		return -ENOMEM;
	if (copy_from_user(run, user, sizeof(*run)))
		return -EFAULT;
	if (run->size != sizeof(*run) || !twin_is_known(run))
		return -EINVAL;
	ret = twin_do_run(run);
	if (ret)
		return ret;
	return copy_to_user(user, run, sizeof(*run)) ? -EFAULT : 0;
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
	struct platform_device_info info = {
		.name = KBUILD_MODNAME,
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};
	int ret;

	twin_device = platform_device_register_full(&info);
	if (IS_ERR(twin_device))
		return PTR_ERR(twin_device);
	ret = misc_register(&twin_misc);
	if (ret)
		platform_device_unregister(twin_device);
	return ret;
}
module_init(twin_init);

static void __exit twin_exit(void)
{
	misc_deregister(&twin_misc);
	platform_device_unregister(twin_device);
}
module_exit(twin_exit);

MODULE_AUTHOR("The mapwright developers");
MODULE_DESCRIPTION("The loops of mapwright_alloc in C, to measure them against");
MODULE_LICENSE("GPL");
