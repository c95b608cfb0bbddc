/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What mapkit's C files and its Rust code share: every function, structure and number.
 *
 * C files include it, and bindgen makes Rust of it by way of bindings.h, so neither side can be changed
 * alone. The comments with two stars are the documentation of both.
 */
#ifndef MAPKIT_H
#define MAPKIT_H

#include <linux/dma-direction.h>
#include <linux/mm_types.h>
#include <linux/mmzone.h>
#include <linux/pgtable.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>

struct address_space;
struct device;
struct attribute_group;
struct dma_buf;
struct file;
struct inode;
struct iosys_map;
struct mapkit_attributes;
struct mapkit_config;
struct mapkit_gpio_chip;
struct mapkit_gpio_line;
struct mapkit_led;
struct mapkit_suspender;
struct module;
struct pci_dev;
struct sg_table;
struct workqueue_struct;

/* ---- helpers.c: macros and inline functions of the kernel ---------------------------------------- */

/** `mb()`. */
void mapkit_mb(void);

/** `memcpy()`. */
void mapkit_memcpy(void *to, const void *from, size_t bytes);

/** `virt_to_page()`. */
struct page *mapkit_virt_to_page(const void *addr);

/** `PHYS_PFN(__pa(addr))`. */
unsigned long mapkit_virt_to_pfn(const void *addr);

/** `folio_alloc()` and `folio_address()`; null without memory. */
void *mapkit_folio_alloc(gfp_t gfp, unsigned int order);

/** `folio_put()` of the folio at a kernel address. */
void mapkit_folio_put(void *addr);

/** `free_contig_range()` of pages with consecutive numbers: drops a reference of each. None is part of a folio. */
void mapkit_free_contig_range(struct page *page, unsigned long nr_pages);

/**
 * `alloc_contig_pages()`, whose first number is a multiple of the largest power of two that `nr_pages` is one of. May
 * reclaim and migrate what others have; nobody is charged, nothing is logged. Null if there are none.
 */
struct page *mapkit_alloc_contig_pages(unsigned long nr_pages);

/** Whether all that is allocated is zeroed, as `init_on_alloc=1` has it. */
bool mapkit_all_is_allocated_zeroed(void);

/** The page that a fault handler returns, with a reference to it. */
void mapkit_vmf_give_page(struct vm_fault *vmf, struct page *page);

/**
 * `vmf_insert_page_mkwrite()` of a page at an address, with the VMA's own protection. What is mapped there stays.
 */
vm_fault_t mapkit_insert_page(struct vm_area_struct *vma, unsigned long addr, struct page *page);

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/**
 * `vmf_insert_folio_pmd()` of the folio that begins with a page, for a load or a store. `VM_FAULT_FALLBACK` if there is
 * none, or not one that an entry of the middle level maps.
 */
vm_fault_t mapkit_vmf_insert_folio_pmd(struct vm_fault *vmf, struct page *page, bool store);

/**
 * The same of the folio that begins with a page, at the entry behind the one that the fault is at, if that is of the
 * same table and empty. The VMA must have all of it. False if nothing was done.
 */
bool mapkit_vmf_insert_next_folio_pmd(struct vm_fault *vmf, struct page *page);
#endif

#if defined(CONFIG_TRANSPARENT_HUGEPAGE) && defined(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)
/** Whether an entry of the upper level may map a block by itself. */
bool mapkit_cpu_has_pud_entries(void);

/** Whether a VMA is one of the calling task's own address space. */
bool mapkit_is_own_vma(const struct vm_area_struct *vma);

/** `vma_start_write()`. */
void mapkit_vma_start_write(struct vm_area_struct *vma);
#endif

/** `capable()`, without a line in the audit log when the answer is no. */
bool mapkit_capable_noaudit(int capability);

/** `security_locked_down(LOCKDOWN_DEV_MEM)`. */
int mapkit_locked_down_dev_mem(void);

/** `security_locked_down(LOCKDOWN_KCORE)`. */
int mapkit_locked_down_kcore(void);

/** `fatal_signal_pending(current)`. */
bool mapkit_fatal_signal_pending(void);

/** `signal_pending(current)`. */
bool mapkit_signal_pending(void);

/** `cond_resched()`. */
void mapkit_cond_resched(void);

/** `node_online(node)`, of any number. */
bool mapkit_node_online(unsigned int node);

/** `global_zone_page_state(NR_FREE_CMA_PAGES)`. */
unsigned long mapkit_free_cma_pages(void);

/** `num_possible_cpus()`. */
unsigned int mapkit_num_possible_cpus(void);

/** `per_cpu_ptr()` of the first possible CPU. */
void *mapkit_first_cpu_ptr(void __percpu *object);

/** `get_cycles()`. */
u64 mapkit_get_cycles(void);

/** `page_address()`; null if the page is in high memory. */
void *mapkit_page_address(const struct page *page);

/** `page_to_pfn()`. */
unsigned long mapkit_page_to_pfn(const struct page *page);

/** `page_zonenum()`. */
unsigned int mapkit_page_zonenum(const struct page *page);

/** `page_to_nid()`. */
unsigned int mapkit_page_to_nid(const struct page *page);

/** `pfn_to_page()`. */
struct page *mapkit_pfn_to_page(unsigned long pfn);

/** `kmalloc()`. */
void *mapkit_kmalloc(size_t size, gfp_t gfp);

/**
 * `vmap()` of pages into an area that `remap_vmalloc_range()` takes. If it is not null, `pages`, which
 * must be memory of kmalloc or vmalloc, and the pages belong to it, and `vfree()` frees all.
 */
void *mapkit_vmap_user(struct page **pages, unsigned int nr_pages);

/** `PAGE_KERNEL`. */
pgprot_t mapkit_page_kernel(void);

/** `vmap()` of pages; `vunmap()` undoes it. */
void *mapkit_vmap(struct page **pages, unsigned int nr_pages, pgprot_t prot);

/** `iosys_map_set_vaddr()`. */
void mapkit_iosys_map_set_vaddr(struct iosys_map *map, void *addr);

#ifdef CONFIG_ARM64
/** `vmap()` of pages as Normal memory that is not cached; `vunmap()` undoes it. */
void *mapkit_vmap_noncached(struct page **pages, unsigned int nr_pages);

/** Cleans and invalidates the data caches for addresses of the direct map, to the point of coherency. */
void mapkit_dcache_clean_inval_poc(void *addr, size_t bytes);
#endif

/** `pgprot_writecombine()`. */
pgprot_t mapkit_pgprot_writecombine(pgprot_t prot);

/** `pgprot_noncached()`. */
pgprot_t mapkit_pgprot_noncached(pgprot_t prot);

/** `this_cpu_add()`, for where `percpu.rs` has none of its own. */
void mapkit_this_cpu_add(unsigned long __percpu *counter, unsigned long n);

/** The sum of a per-CPU counter over all possible CPUs. */
unsigned long mapkit_percpu_sum(const unsigned long __percpu *counter);

/** `raw_spin_lock_init()`. */
void mapkit_raw_spin_lock_init(raw_spinlock_t *lock);

/** `raw_spin_lock_irqsave()`: the flags. */
unsigned long mapkit_raw_spin_lock_irqsave(raw_spinlock_t *lock);

/** `raw_spin_unlock_irqrestore()`. */
void mapkit_raw_spin_unlock_irqrestore(raw_spinlock_t *lock, unsigned long flags);

/** `get_mem_cgroup_from_mm(current->mm)`; null in a kernel without. */
void *mapkit_get_memcg(void);

/** `mem_cgroup_put()`, of null, too. */
void mapkit_put_memcg(void *memcg);

/** `set_active_memcg()`: the one before. */
void *mapkit_set_active_memcg(void *memcg);

/** `alloc_workqueue()` with `WQ_UNBOUND`. */
struct workqueue_struct *mapkit_alloc_workqueue(const char *name);

/** `jiffies_to_msecs()`. */
unsigned int mapkit_jiffies_to_msecs(unsigned long jiffies);

/** `dma_mapping_error()`, for what it tells the checker of the DMA API. */
void mapkit_dma_mapping_error(struct device *dev, dma_addr_t bus);

/** `use_dma_iommu()`: whether an IOMMU translates what the DMA API maps for a device. */
bool mapkit_use_dma_iommu(struct device *dev);

/** `dev_is_dma_coherent()`: whether a device sees what is in the CPU's caches. */
bool mapkit_dma_is_coherent(struct device *dev);

/** Whether the DMA API gives a device physical addresses, with nothing in between. */
bool mapkit_dma_is_direct(struct device *dev);

/** The last bus address that a device reaches, by its mask and its bus. */
u64 mapkit_dma_limit(struct device *dev);

/** The same, where coherent memory is concerned. */
u64 mapkit_dma_coherent_limit(struct device *dev);

/** The last physical address of the bounce buffers (swiotlb) for a device; 0 if there are none. */
u64 mapkit_swiotlb_last(struct device *dev);

/** `dma_get_cache_alignment()`. */
unsigned int mapkit_dma_cache_alignment(void);

/** `dma_get_max_seg_size()`. */
unsigned int mapkit_dma_max_seg_size(struct device *dev);

/** Succeeds once for each time that a device is bound to a driver; then `-EBUSY`. */
int mapkit_dma_use_once(struct device *dev);

/** Whether memory is encrypted, so that what a device uses may have to be mapped otherwise. */
bool mapkit_memory_is_encrypted(void);

/**
 * The memory type that programs must map a device's coherent memory with, which is otherwise `prot`: as
 * `dma_pgprot()`, which is not exported. False where memory is encrypted, as a device's then is not.
 */
bool mapkit_dma_prot(struct device *dev, pgprot_t *prot);

/** `dma_buf_invalidate_mappings()`, with the lock of the buffer that it wants. */
void mapkit_dma_buf_invalidate(struct dma_buf *buffer);

/** A device of a bus, `pci` or `platform`, by its name there; null if there is none. `put_device()` drops it. */
struct device *mapkit_find_device(const char *bus, const char *name);

/** Whether a device is at that path in sysfs, without the `/sys`: 1 or 0, or -ENOMEM. */
int mapkit_device_is_at(struct device *dev, const char *path, gfp_t gfp);

/**
 * Whether `vmalloc_to_pfn()` tells the frames of a device's coherent memory. Not where it looks into the `struct page`,
 * of a pool that was assigned to the device: it may have none.
 */
bool mapkit_dma_frames_are_known(struct device *dev);

/** `device_lock()`. */
void mapkit_device_lock(struct device *dev);

/** `device_unlock()`. */
void mapkit_device_unlock(struct device *dev);

/**
 * Whether memory may be allocated for a device by others than its driver, with the lock of the device: `-ENODEV` if it
 * has none, `-EIO` if it is not for DMA, `-EOPNOTSUPP` if the frames of its memory cannot be told, `-EBUSY` if the driver
 * gives it to programs, with another IOMMU domain.
 */
int mapkit_dma_may_use_foreign(struct device *dev);

/** Takes the right to use the bus away from a device whose bus has such a right: from then on it moves no byte. */
void mapkit_forbid_bus(struct device *dev);

/** An `address_space` for the mappings of a file, with no page cache. */
void mapkit_init_space(struct address_space *space);

/** A reference to a new inode that no file has; an error pointer without memory. `iput()` drops it. */
struct inode *mapkit_anon_inode(void);

/** `pagefault_disable()`: from now on, a copy from or to a program's memory ends at what is not mapped. */
void mapkit_pagefault_disable(void);

/** `pagefault_enable()`. */
void mapkit_pagefault_enable(void);

/** `vfs_setpos()` from the position of a file: -EINVAL if that would be negative, or too large. */
loff_t mapkit_seek_cur(struct file *file, loff_t offset);

/** Whether a base address register of a PCI function has memory that somebody has requested. */
bool mapkit_pci_is_requested(struct pci_dev *dev, unsigned int bar);

/** `dma_sync_single_for_cpu()`. */
void mapkit_dma_sync_single_for_cpu(struct device *dev, dma_addr_t bus, size_t bytes,
				    enum dma_data_direction dir);

/** `dma_sync_single_for_device()`. */
void mapkit_dma_sync_single_for_device(struct device *dev, dma_addr_t bus, size_t bytes,
				       enum dma_data_direction dir);

/** `dma_sync_sgtable_for_cpu()`. */
void mapkit_dma_sync_sgtable_for_cpu(struct device *dev, struct sg_table *table,
				     enum dma_data_direction dir);

/** `dma_sync_sgtable_for_device()`. */
void mapkit_dma_sync_sgtable_for_device(struct device *dev, struct sg_table *table,
					enum dma_data_direction dir);

/* ---- page_cache.c: folios in a page cache ---------------------------------------------------------- */

/** Makes the page cache of an inode one of `bytes` bytes that nothing is read into, written from or moved out of. */
void mapkit_cache_init(struct inode *inode, loff_t bytes);

/**
 * `filemap_add_folio()` of the folio at a kernel address, as pages that are up to date and have been stored to. The
 * cache takes references of its own, and charges the caller's memory cgroup, so that the folio must not be charged.
 */
int mapkit_cache_add(struct inode *inode, void *addr, unsigned long index, gfp_t gfp);

/** `truncate_inode_pages()` of all. */
void mapkit_cache_clear(struct inode *inode);

/**
 * Has a VMA map the page cache of an inode from page `pgoff` on, by a new file that keeps the inode and this module:
 * `vma_set_file()`. May be called in an `f_op->mmap()`.
 */
int mapkit_cache_map(struct inode *inode, struct vm_area_struct *vma, unsigned long pgoff);

/**
 * `filemap_map_pages()` of what the page cache has of these pages, unless a page is to be copied, or userfaultfd wants to
 * see each fault. Returns `VM_FAULT_NOPAGE` if the page that was touched is among them.
 */
vm_fault_t mapkit_cache_map_pages(struct vm_fault *vmf, unsigned long first, unsigned long last);

/* ---- inspect.c: page tables, page frames, the address space's layout ----------------------------- */

/** What `struct page` says of a page frame. */
struct mapkit_frame {
	/** Address of the `struct page`. */
	unsigned long page;
	/** Number of the first frame of the compound page, or of the frame itself. */
	unsigned long head_pfn;
	/** The kernel's flags word. */
	unsigned long flags;
	/** References to the page, or to its compound page. */
	int refcount;
	/** Page-table entries of programs that map it. */
	int mapcount;
	/** The compound page has 2 to the power of this pages. */
	unsigned int order;
	/** NUMA node. */
	unsigned int node;
	/** Number of the zone. */
	unsigned int zone;
	/** What the block of pages is for. */
	enum migratetype migratetype;
	/** Name of the zone, filled up with zeros. */
	char zone_name[8];
};

/** An area of the kernel's address space. */
struct mapkit_area {
	/** Its first byte. */
	unsigned long start;
	/** Its last byte; 0 if this kernel lacks the area. */
	unsigned long last;
};

/** Which addresses are user mode's and which the kernel's. */
struct mapkit_halves {
	/** User mode's last. */
	u64 user_last;
	/** The kernel's first. */
	u64 kernel_first;
	/** What is added to a physical address, and wraps, is its address in the direct map. */
	u64 phys_to_virt;
};

/** Positions in the array that `mapkit_areas()` fills. */
enum mapkit_area_number {
	MAPKIT_DIRECT_MAP,
	MAPKIT_VMALLOC,
	MAPKIT_VMEMMAP,
	MAPKIT_MODULES,
	MAPKIT_KERNEL_IMAGE,
	MAPKIT_FIXMAP,
	MAPKIT_CPU_ENTRY,
	MAPKIT_KASAN,
	MAPKIT_LDT,
	MAPKIT_PKMAP,
	MAPKIT_PCI_IO,
	/** How many there are. */
	MAPKIT_AREAS,
};

/** `local_irq_save()`: the flags. */
unsigned long mapkit_local_irq_save(void);

/** `local_irq_restore()`. */
void mapkit_local_irq_restore(unsigned long flags);

/** `mmap_write_lock_killable()`. */
int mapkit_mmap_write_lock_killable(struct mm_struct *mm);

/** `mmap_write_unlock()`. */
void mapkit_mmap_write_unlock(struct mm_struct *mm);

/**
 * Copies `size` bytes that are in one page of memory, and of memory only, at a physical address. It may
 * be changed or freed meanwhile. `-ENXIO` if no memory is there, `-EFAULT` if it cannot be read.
 */
int mapkit_read_memory(u64 phys, void *to, size_t size);

/** Whether a frame has the `struct page` of memory in use. */
bool mapkit_is_memory(unsigned long pfn);

/** Loads a byte as the kernel does: `-EFAULT` if the load faults. */
long mapkit_probe_kernel(unsigned long addr);

/**
 * The frame that `get_user_pages_remote()` finds at an address, without faulting it in, let go at once.
 * `-EFAULT` if there is none, `-EINTR` if the caller was killed.
 */
long mapkit_refcounted_pfn(struct mm_struct *mm, unsigned long addr);

/** What the `struct page` of a frame says; false if it has none. */
bool mapkit_frame_of(unsigned long pfn, struct mapkit_frame *frame);

/** Where the areas of the kernel's address space are. */
void mapkit_areas(struct mapkit_area areas[MAPKIT_AREAS]);

/* These depend on the architecture. */

/** Bits of a virtual address that are translated. */
unsigned int mapkit_address_bits(void);

/** Which addresses are whose. */
void mapkit_halves(struct mapkit_halves *halves);

/** Physical address of the top table that the CPU uses for an address while the process is in the kernel. */
u64 mapkit_top_table(struct mm_struct *mm, u64 addr);

/** Physical address of a top table with all of the kernel's entries. */
u64 mapkit_kernel_table(struct mm_struct *mm);

/**
 * Physical address of the top table that the CPU uses for an address in user mode, if the kernel hides itself
 * there, else 0.
 */
u64 mapkit_user_mode_table(struct mm_struct *mm, u64 addr);

/** The CPU's register that holds where its top table is: CR3, TTBR0. */
u64 mapkit_table_register(void);

/** The physical address that an entry holds. */
u64 mapkit_entry_phys(u64 entry);

#ifdef CONFIG_ARM64
/** Whether CPUs share coherently what an entry maps. */
bool mapkit_entry_is_shared(u64 entry);
#endif

/** The CPU's table of memory types. */
u64 mapkit_memory_types(void);

/** Whether entries hold physical addresses as the kernel counts them. */
bool mapkit_tables_are_physical(void);

/* ---- trace.c: the events of trace.h -------------------------------------------------------------- */

/** Records a `region_create` event. */
void mapkit_trace_create(u64 region, u32 backing, u32 method, u32 caching, u64 bytes);

/** Records a `region_destroy` event. */
void mapkit_trace_destroy(u64 region);

/** Records a `region_mmap` event. */
void mapkit_trace_mmap(u64 region, unsigned long start, unsigned long end);

/** Records a `region_munmap` event. */
void mapkit_trace_munmap(u64 region, unsigned long start, unsigned long end);

/** Records a `region_fault` event. */
void mapkit_trace_fault(u64 region, unsigned long address, bool write, unsigned long nr_pages);

/* ---- attributes.c: attributes of a device in sysfs ----------------------------------------------- */

/** An attribute, by its name and its permission bits. */
struct mapkit_attribute {
	/** Must outlive it. */
	const char *name;
	/** As of a file. */
	umode_t mode;
};

/** Writes the text of attribute `index` to a page: its length, or a negative error number. */
typedef ssize_t (*mapkit_attribute_show_t)(void *data, unsigned int index, char *page);

/** Takes a text for attribute `index`: `bytes`, or a negative error number. */
typedef ssize_t (*mapkit_attribute_store_t)(void *data, unsigned int index, const char *text, size_t bytes);

/** `count` attributes; an error pointer without memory. `data` must outlive them. */
struct mapkit_attributes *mapkit_attributes_new(const struct mapkit_attribute *attributes, unsigned int count,
						mapkit_attribute_show_t show_text,
						mapkit_attribute_store_t store_text, void *data);

/** The groups to register a device with, as long as they are not freed. */
const struct attribute_group **mapkit_attributes_groups(struct mapkit_attributes *all);

/** Frees them. No device may have them any more. */
void mapkit_attributes_free(struct mapkit_attributes *all);

/* ---- configfs.c: a subsystem of configfs ---------------------------------------------------------- */

/** Attributes that an item has at most. */
#define MAPKIT_CONFIG_ATTRIBUTES 8

struct mapkit_config_item;

/** What a subsystem does. */
struct mapkit_config_operations {
	/** What each item has. */
	const struct mapkit_attribute *attributes;
	/** How many. */
	unsigned int count;
	/** Makes the data of an item, or an error pointer. The item is valid until the data is released. */
	void *(*make)(void *data, const char *name, struct mapkit_config_item *item);
	/** Releases the data of an item that was removed, which nobody uses any more. */
	void (*release)(void *item_data);
	/** For the data of an item. */
	mapkit_attribute_show_t show;
	/** For the data of an item. */
	mapkit_attribute_store_t store;
};

/** Registers the subsystem `name`; `ops` and `data` must outlive it. An error pointer if that fails. */
struct mapkit_config *mapkit_config_register(struct module *owner, const char *name,
					     const struct mapkit_config_operations *ops, void *data);

/** Unregisters it. It has no items: each holds the module. */
void mapkit_config_unregister(struct mapkit_config *config);

/** Has the removal of an item fail with `-EBUSY`. To be called by a function of `ops` of its subsystem. */
int mapkit_config_keep(struct mapkit_config_item *item);

/** Undoes one call of `mapkit_config_keep()`. */
void mapkit_config_let_go(struct mapkit_config_item *item);

/* ---- memory_region.c: reserved memory of a device tree --------------------------------------------- */

/** What a node of the device tree names by its property `memory-region`. */
struct mapkit_memory_region {
	/** Physical address of its first byte. */
	u64 base;
	/** How many there are. */
	u64 bytes;
	/** Whether the DMA API allocates of it: `shared-dma-pool`. */
	bool is_pool;
	/** Whether it is CMA: `reusable`. */
	bool is_reusable;
	/** Whether the kernel has not mapped it: `no-map`. */
	bool is_unmapped;
};

/**
 * The first one of a device's node. `-ENOENT` if that names none, another error number if it names one that is not
 * there.
 */
int mapkit_memory_region(struct device *dev, struct mapkit_memory_region *region);

/**
 * Has `dma_alloc_coherent()` give the device memory of its pool, which `region` is, until its driver's resources are
 * released. To be called by `probe`. `-EIO` if the device does not reach all of it, `-EOPNOTSUPP` if an IOMMU is in
 * between, to which it is unknown.
 */
int mapkit_use_memory_region(struct device *dev, const struct mapkit_memory_region *region);

/**
 * Maps memory of the range that the kernel has not mapped, with its contents, for a device that finds it at `dma_addr`:
 * write-back if the device sees what is in the caches, and else not cached. `memunmap()` undoes it. An error
 * pointer: `-EIO` if the device does not reach it, `-EOPNOTSUPP` if an IOMMU is in between.
 */
void *mapkit_map_memory_region(struct device *dev, phys_addr_t base, size_t bytes, dma_addr_t *dma_addr);

/* ---- led.c: an LED class device ------------------------------------------------------------------ */

/** What an LED is switched by. May be called from any context. */
typedef void (*mapkit_led_set_t)(void *data, bool on);

/** Registers an LED; `name` and `data` must outlive it. An error pointer if that fails. */
struct mapkit_led *mapkit_led_register(const char *name, mapkit_led_set_t set, void *data);

/** Waits for calls of the LED's function, after a last one that switches it off, and frees it. */
void mapkit_led_unregister(struct mapkit_led *led);

/* ---- suspend.c: a driver's part in the system's sleep --------------------------------------------- */

/** What is done when a device is suspended, or resumed. May sleep. */
typedef void (*mapkit_suspend_t)(void *data);

/**
 * Calls `suspend` before the bus suspends a device and `resume` after it has resumed it, with the interrupts of
 * devices off in both. To be called by the driver's `probe`; `data` must outlive it. An error pointer if that
 * fails: `-EINVAL` if the driver is another module's, `-EBUSY` if it has operations of its own.
 */
struct mapkit_suspender *mapkit_suspender_register(struct device *dev, mapkit_suspend_t suspend,
						   mapkit_suspend_t resume, void *data);

/** Waits for a call that is under way, and calls no more. */
void mapkit_suspender_unregister(struct mapkit_suspender *suspender);

/* ---- gpio_chip.c: a GPIO controller and its interrupts ------------------------------------------- */

/** Lines of a chip. */
#define MAPKIT_GPIO_LINES 32

/**
 * What a chip does. Each gets the `data` that the chip was registered with; the lines are below
 * `MAPKIT_GPIO_LINES`. What returns an int may return a negative error number.
 */
struct mapkit_gpio_operations {
	/** Somebody wants a line. */
	int (*request)(void *data, unsigned int line);
	/** And has done with it. */
	void (*free)(void *data, unsigned int line);
	/** 1 if a line is an input, 0 if it is an output. */
	int (*is_input)(void *data, unsigned int line);
	/** Makes a line an input. */
	int (*make_input)(void *data, unsigned int line);
	/** Makes a line an output with that level. */
	int (*make_output)(void *data, unsigned int line, bool high);
	/** Stores in `levels` a bit for each of the lines that is high. */
	int (*levels)(void *data, u32 lines, u32 *levels);
	/** Makes the outputs of `set` high and of `clear` low. */
	int (*set)(void *data, u32 set, u32 clear);
	/** Has a line debounced for so many microseconds, 0 for none; `-ENOTSUPP` if it cannot. */
	int (*debounce)(void *data, unsigned int line, u32 microseconds);
	/** Somebody wants a line's interrupts. */
	int (*begin_interrupts)(void *data, unsigned int line);
	/** And has done with them. */
	void (*end_interrupts)(void *data, unsigned int line);
	/** What interrupts of a line are for, as `IRQ_TYPE_*`. Null if the lines cannot interrupt. */
	int (*detect)(void *data, unsigned int line, unsigned int type);
	/** Disables a line's interrupts. */
	void (*mask)(void *data, unsigned int line);
	/** Enables them. */
	void (*unmask)(void *data, unsigned int line);
};

/**
 * Registers a chip. `names` is null, or `MAPKIT_GPIO_LINES` pointers, each to a name or null, and is copied.
 * The names, `label`, `ops` and `data` must outlive the chip. An error pointer if that fails.
 */
struct mapkit_gpio_chip *mapkit_gpio_chip_register(struct device *parent, struct module *owner, const char *label,
						   const char *const *names,
						   const struct mapkit_gpio_operations *ops, void *data);

/**
 * Waits for the operations under way, frees the interrupts that are still requested, and makes files that
 * are still open answer `-ENODEV`.
 */
void mapkit_gpio_chip_unregister(struct mapkit_gpio_chip *chip);

/** Calls the handler of a line's interrupt, if somebody has requested it. */
void mapkit_gpio_chip_interrupt(struct mapkit_gpio_chip *chip, unsigned int line);

/**
 * Has gpiolib refuse a line to everybody else, and tell that `consumer` has it, until it is let go, before the chip is
 * unregistered. The chip is not asked, and must refuse the line to others from before on. One call at a time, and
 * `mapkit_gpio_chip_let_go()` counts. May sleep. An error pointer if that fails.
 */
struct mapkit_gpio_line *mapkit_gpio_chip_hold(struct mapkit_gpio_chip *chip, unsigned int line, const char *consumer);

/** Ends that. May sleep. */
void mapkit_gpio_chip_let_go(struct mapkit_gpio_chip *chip, struct mapkit_gpio_line *held);

/** Has gpiolib ask for the direction of a line that is held. */
void mapkit_gpio_chip_update_direction(struct mapkit_gpio_line *held);

#endif
