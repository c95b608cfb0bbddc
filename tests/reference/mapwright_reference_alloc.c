// SPDX-License-Identifier: GPL-2.0-only
/*
 * mapwright_reference_alloc: the loops of mapwright_alloc.ko, written in C.
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

#define REF_IOC_RUN		_IO(0xe7, 0x21)
#define REF_BUCKETS		32
#define REF_GFP		(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN)
#define REF_MAX_BYTES		(64UL << 20)

enum { REF_PAIRS, REF_BATCHES };
enum {
	REF_KMALLOC, REF_KZALLOC, REF_KREALLOC, REF_KVMALLOC, REF_VMALLOC, REF_VZALLOC,
	REF_PAGES, REF_KMEM_CACHE, REF_PERCPU, REF_COHERENT, REF_NOTHING,
};

struct ref_cost {
	u64 ns;
	u64 empty_ns;
	u64 cycles;
	u64 empty_cycles;
};

/* struct mapwright_alloc_run */
struct ref_run {
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
	struct ref_cost allocating;
	struct ref_cost freeing;
	u32 allocating_histogram[REF_BUCKETS];
	u32 freeing_histogram[REF_BUCKETS];
};

struct ref_plan {
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

struct ref_object {
	void *addr;
};

struct ref_percpu {
	void __percpu *addr;
};

struct ref_coherent {
	void *addr;
	dma_addr_t handle;
};

struct ref_spent {
	u64 ns;
	u64 cycles;
};

struct ref_tally {
	unsigned long allocated;
	unsigned long freed;
	struct ref_spent allocating;
	struct ref_spent freeing;
};

static struct platform_device *ref_device;

static struct ref_spent ref_now(void)
{
	return (struct ref_spent){ .ns = ktime_get_mono_fast_ns(), .cycles = get_cycles() };
}

static void ref_add_since(struct ref_spent *to, struct ref_spent start)
{
	to->cycles += get_cycles() - start.cycles;
	to->ns += ktime_get_mono_fast_ns() - start.ns;
}

static int ref_go_on(void)
{
	if (signal_pending(current))
		return -EINTR;
	cond_resched();
	return 0;
}

/* The loops of one allocator: pairs, and filling and draining of places. */
#define REF_LOOPS(name, type, allocate, free)							\
static noinline unsigned long ref_##name##_pairs(const struct ref_plan *plan,		\
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
static noinline unsigned long ref_##name##_fill(const struct ref_plan *plan,		\
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
static noinline unsigned long ref_##name##_drain(const struct ref_plan *plan,		\
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
static int ref_##name##_run_pairs(const struct ref_plan *plan, struct ref_tally *tally)	\
{												\
	struct ref_spent start = ref_now();							\
	unsigned long done, part;								\
	int ret = 0;										\
												\
	for (done = 0; done < plan->count && !ret; done += part) {				\
		part = min(plan->chunk, plan->count - done);					\
		ret = ref_go_on();								\
		if (!ret)									\
			tally->allocated += ref_##name##_pairs(plan, part);			\
	}											\
	ref_add_since(&tally->allocating, start);						\
	tally->freed = tally->allocated;							\
	return ret;										\
}												\
												\
static int ref_##name##_run_batches(const struct ref_plan *plan, struct ref_tally *tally)	\
{												\
	type *places = kvcalloc(plan->batch, sizeof(*places), GFP_KERNEL);			\
	unsigned long left, batch, done, part;							\
	struct ref_spent start;								\
	int ret = 0;										\
												\
	if (!places)										\
		return -ENOMEM;									\
	for (left = plan->count; left && !ret; left -= batch) {					\
		batch = min(left, plan->batch);							\
		start = ref_now();								\
		for (done = 0; done < batch && !ret; done += part) {				\
			part = min(plan->chunk, batch - done);					\
			ret = ref_go_on();							\
			if (!ret)								\
				tally->allocated += ref_##name##_fill(plan, places + done,	\
								       places + done + part);	\
		}										\
		ref_add_since(&tally->allocating, start);					\
		if (ret)									\
			break;									\
		start = ref_now();								\
		for (done = 0; done < batch && !ret; done += part) {				\
			part = min(plan->chunk, batch - done);					\
			ret = ref_go_on();							\
			if (!ret)								\
				tally->freed += ref_##name##_drain(plan, places + done,	\
								    places + done + part);	\
		}										\
		ref_add_since(&tally->freeing, start);						\
	}											\
	ref_##name##_drain(plan, places, places + plan->batch);				\
	kvfree(places);										\
	return ret;										\
}

static inline void *ref_krealloc(const struct ref_plan *plan)
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

static inline void *ref_nothing(void)
{
	void *addr = ZERO_SIZE_PTR;

	OPTIMIZER_HIDE_VAR(addr);
	return addr;
}

REF_LOOPS(kmalloc, struct ref_object,
	   o.addr = kmalloc(plan->bytes, plan->gfp), kfree(o.addr))
REF_LOOPS(krealloc, struct ref_object,
	   o.addr = ref_krealloc(plan), kfree(o.addr))
REF_LOOPS(kvmalloc, struct ref_object,
	   o.addr = kvmalloc(plan->bytes, plan->gfp), kvfree(o.addr))
REF_LOOPS(vmalloc, struct ref_object,
	   o.addr = __vmalloc(plan->bytes, plan->gfp), vfree(o.addr))
REF_LOOPS(pages, struct ref_object,
	   o.addr = alloc_pages(plan->gfp, plan->order), __free_pages(o.addr, plan->order))
REF_LOOPS(cache, struct ref_object,
	   o.addr = kmem_cache_alloc(plan->cache, plan->gfp),
	   kmem_cache_free(plan->cache, o.addr))
REF_LOOPS(percpu, struct ref_percpu,
	   o.addr = __alloc_percpu_gfp(plan->bytes, plan->align, plan->gfp),
	   free_percpu(o.addr))
REF_LOOPS(coherent, struct ref_coherent,
	   o.addr = dma_alloc_coherent(plan->dev, plan->bytes, &o.handle, plan->gfp),
	   dma_free_coherent(plan->dev, plan->bytes, o.addr, o.handle))
REF_LOOPS(nothing, struct ref_object,
	   o.addr = ref_nothing(), OPTIMIZER_HIDE_VAR(o.addr))

#define REF_RUN(name)	(pairs ? ref_##name##_run_pairs(plan, tally) :			\
				 ref_##name##_run_batches(plan, tally))

static int ref_exercise(u32 allocator, bool pairs, const struct ref_plan *plan,
			 struct ref_tally *tally)
{
	switch (allocator) {
	case REF_KMALLOC:
	case REF_KZALLOC:
		return REF_RUN(kmalloc);
	case REF_KREALLOC:
		return REF_RUN(krealloc);
	case REF_KVMALLOC:
		return REF_RUN(kvmalloc);
	case REF_VMALLOC:
	case REF_VZALLOC:
		return REF_RUN(vmalloc);
	case REF_PAGES:
		return REF_RUN(pages);
	case REF_KMEM_CACHE:
		return REF_RUN(cache);
	case REF_PERCPU:
		return REF_RUN(percpu);
	case REF_COHERENT:
		return REF_RUN(coherent);
	case REF_NOTHING:
		return REF_RUN(nothing);
	}
	return -EINVAL;
}

static bool ref_is_known(const struct ref_run *run)
{
	return !run->flags && !run->gfp && !run->modifiers && !run->cache_flags && !run->nr_records &&
	       run->node == NUMA_NO_NODE && run->count && run->pattern <= REF_BATCHES &&
	       !run->batch == (run->pattern == REF_PAIRS) && run->order <= MAX_PAGE_ORDER &&
	       run->bytes <= REF_MAX_BYTES && run->old_bytes <= REF_MAX_BYTES &&
	       (u64)run->batch * (run->bytes ?: PAGE_SIZE << run->order) <= REF_MAX_BYTES;
}

/* As often as the Rust module looks: see chunk() in rust/alloc/pattern.rs. */
static unsigned long ref_chunk(const struct ref_run *run)
{
	unsigned long bytes = run->bytes;

	if (run->allocator == REF_PAGES)
		bytes = PAGE_SIZE << run->order;
	else if (run->allocator == REF_PERCPU)
		bytes *= num_possible_cpus();
	else if (run->allocator == REF_VMALLOC || run->allocator == REF_VZALLOC)
		bytes = PAGE_ALIGN(bytes);
	else if (bytes > KMALLOC_MAX_CACHE_SIZE)
		bytes = roundup_pow_of_two(PAGE_ALIGN(bytes));
	else
		bytes = roundup_pow_of_two(bytes);
	if (run->allocator == REF_KREALLOC)
		bytes += roundup_pow_of_two(run->old_bytes);
	return 1UL << clamp(18 - ilog2(bytes), 0, 10);
}

static int ref_do_run(struct ref_run *run)
{
	bool pairs = run->pattern == REF_PAIRS;
	struct ref_tally tally = {}, empty = {};
	struct ref_plan plan = {
		.dev = &ref_device->dev,
		.bytes = run->bytes,
		.old_bytes = run->old_bytes,
		.align = run->align ?: 8,
		.order = run->order,
		.gfp = REF_GFP,
		.count = run->count,
		.chunk = ref_chunk(run),
		.batch = run->batch,
	};
	int ret;

	if (run->allocator == REF_KZALLOC || run->allocator == REF_VZALLOC)
		plan.gfp |= __GFP_ZERO;
	if (run->allocator == REF_KMEM_CACHE) {
		plan.cache = kmem_cache_create("mapwright_reference_alloc", run->bytes, run->align, 0, NULL);
		if (!plan.cache)
			return -ENOMEM;
	}
	ret = ref_exercise(run->allocator, pairs, &plan, &tally);
	if (!ret)
		ret = ref_exercise(REF_NOTHING, pairs, &plan, &empty);
	kmem_cache_destroy(plan.cache);

	run->allocated = tally.allocated;
	run->freed = tally.freed;
	run->failed_memory = run->count - tally.allocated;
	run->allocating = (struct ref_cost){ tally.allocating.ns, empty.allocating.ns,
					      tally.allocating.cycles, empty.allocating.cycles };
	run->freeing = (struct ref_cost){ tally.freeing.ns, empty.freeing.ns,
					   tally.freeing.cycles, empty.freeing.cycles };
	return ret;
}

static long ref_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ref_run *run __free(kfree) = kzalloc_obj(*run);
	void __user *user = (void __user *)arg;
	int ret;

	if (cmd != REF_IOC_RUN)
		return -ENOTTY;
	if (!run)
		return -ENOMEM;
	if (copy_from_user(run, user, sizeof(*run)))
		return -EFAULT;
	if (run->size != sizeof(*run) || !ref_is_known(run))
		return -EINVAL;
	ret = ref_do_run(run);
	if (ret)
		return ret;
	return copy_to_user(user, run, sizeof(*run)) ? -EFAULT : 0;
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

static int __init ref_init(void)
{
	struct platform_device_info info = {
		.name = KBUILD_MODNAME,
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};
	int ret;

	ref_device = platform_device_register_full(&info);
	if (IS_ERR(ref_device))
		return PTR_ERR(ref_device);
	ret = misc_register(&ref_misc);
	if (ret)
		platform_device_unregister(ref_device);
	return ret;
}
module_init(ref_init);

static void __exit ref_exit(void)
{
	misc_deregister(&ref_misc);
	platform_device_unregister(ref_device);
}
module_exit(ref_exit);

MODULE_AUTHOR("The mapwright developers");
MODULE_DESCRIPTION("The loops of mapwright_alloc in C, to measure them against");
MODULE_LICENSE("GPL");
