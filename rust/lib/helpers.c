// SPDX-License-Identifier: GPL-2.0-only
/*
 * C wrappers of what Rust cannot call: macros and static inline functions.
 *
 * One line of work each; every decision is made in Rust.
 */

#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/cc_platform.h>
#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iosys-map.h>
#include <linux/jiffies.h>
#include <linux/iommu-dma.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/percpu.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/spinlock.h>
#include <linux/swiotlb.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include <linux/timex.h>
#include <linux/user_namespace.h>
#ifdef CONFIG_ARM64
#include <linux/bitfield.h>
#include <asm/cpufeature.h>
#endif
#include "mapkit.h"

void mapkit_mb(void)
{
	mb();
}

void mapkit_memcpy(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}

struct page *mapkit_virt_to_page(const void *addr)
{
	return virt_to_page(addr);
}

unsigned long mapkit_virt_to_pfn(const void *addr)
{
	return PHYS_PFN(__pa(addr));
}

void *mapkit_folio_alloc(gfp_t gfp, unsigned int order)
{
	struct folio *folio = folio_alloc(gfp, order);

	return folio ? folio_address(folio) : NULL;
}

void mapkit_folio_put(void *addr)
{
	folio_put(virt_to_folio(addr));
}

/* What can free a range at once, with the blocks that it makes up, is in kernels that can allocate one. */
void mapkit_free_contig_range(struct page *page, unsigned long nr_pages)
{
#ifdef CONFIG_CONTIG_ALLOC
	free_contig_range(page_to_pfn(page), nr_pages);
#else
	unsigned long pfn = page_to_pfn(page);

	while (nr_pages--)
		__free_page(pfn_to_page(pfn++));
#endif
}

/* It takes no flag that has a memory cgroup charged. */
struct page *mapkit_alloc_contig_pages(unsigned long nr_pages)
{
#ifdef CONFIG_CONTIG_ALLOC
	return alloc_contig_pages(nr_pages, GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL,
				  numa_mem_id(), NULL);
#else
	return NULL;
#endif
}

bool mapkit_all_is_allocated_zeroed(void)
{
	return want_init_on_alloc(0);
}

void mapkit_vmf_give_page(struct vm_fault *vmf, struct page *page)
{
	get_page(page);
	vmf->page = page;
}

/* Of the fault, vmf_insert_page_mkwrite() takes the VMA and the address only. */
vm_fault_t mapkit_insert_page(struct vm_area_struct *vma, unsigned long addr, struct page *page)
{
	struct vm_fault vmf = { .vma = vma, .address = addr };

	return vmf_insert_page_mkwrite(&vmf, page, false);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* Whether a page begins a folio that an entry of the middle level maps. */
static bool mapkit_is_pmd_folio(struct page *page)
{
	return PageHead(page) && folio_order(page_folio(page)) == PMD_SHIFT - PAGE_SHIFT;
}

vm_fault_t mapkit_vmf_insert_folio_pmd(struct vm_fault *vmf, struct page *page, bool store)
{
	/* A new entry has the VMA's own protection. Where there is one already, it becomes writable. */
	bool write = store && !pmd_none(vmf->orig_pmd);

	if (!mapkit_is_pmd_folio(page))
		return VM_FAULT_FALLBACK;
	return vmf_insert_folio_pmd(vmf, page_folio(page), write);
}

bool mapkit_vmf_insert_next_folio_pmd(struct vm_fault *vmf, struct page *page)
{
	struct vm_fault next = {
		.vma = vmf->vma,
		.address = (vmf->address & PMD_MASK) + PMD_SIZE,
		.pmd = vmf->pmd + 1,
	};

	if (pmd_index(next.address) == 0 || !pmd_none(pmdp_get_lockless(next.pmd)))
		return false;
	if (!mapkit_is_pmd_folio(page))
		return false;
	/* As for a load: what is there by now stays. */
	return !(vmf_insert_folio_pmd(&next, page_folio(page), false) & VM_FAULT_ERROR);
}
#endif

#if defined(CONFIG_TRANSPARENT_HUGEPAGE) && defined(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)
/* What mapkit's levels.rs computes: PUD_PAGES. */
static_assert(PUD_SIZE / PAGE_SIZE == (PAGE_SIZE / 8) * (PAGE_SIZE / 8));

bool mapkit_cpu_has_pud_entries(void)
{
#ifdef CONFIG_X86
	return boot_cpu_has(X86_FEATURE_GBPAGES);
#else
	return true;
#endif
}

bool mapkit_is_own_vma(const struct vm_area_struct *vma)
{
	return vma->vm_mm == current->mm;
}

void mapkit_vma_start_write(struct vm_area_struct *vma)
{
	vma_start_write(vma);
}
#endif

bool mapkit_capable_noaudit(int capability)
{
	return ns_capable_noaudit(&init_user_ns, capability);
}

int mapkit_locked_down_dev_mem(void)
{
	return security_locked_down(LOCKDOWN_DEV_MEM);
}

int mapkit_locked_down_kcore(void)
{
	return security_locked_down(LOCKDOWN_KCORE);
}

bool mapkit_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

bool mapkit_signal_pending(void)
{
	return signal_pending(current);
}

void mapkit_cond_resched(void)
{
	cond_resched();
}

bool mapkit_node_online(unsigned int node)
{
	return node < MAX_NUMNODES && node_online(node);
}

unsigned long mapkit_free_cma_pages(void)
{
	return global_zone_page_state(NR_FREE_CMA_PAGES);
}

unsigned int mapkit_num_possible_cpus(void)
{
	return num_possible_cpus();
}

void *mapkit_first_cpu_ptr(void __percpu *object)
{
	return per_cpu_ptr(object, cpumask_first(cpu_possible_mask));
}

unsigned int mapkit_jiffies_to_msecs(unsigned long jiffies)
{
	return jiffies_to_msecs(jiffies);
}

u64 mapkit_get_cycles(void)
{
	return get_cycles();
}

/* High memory has none of its own: what kmap() once gave it may be somebody else's at any time. */
void *mapkit_page_address(const struct page *page)
{
	return PageHighMem(page) ? NULL : page_address(page);
}

unsigned long mapkit_page_to_pfn(const struct page *page)
{
	return page_to_pfn(page);
}

unsigned int mapkit_page_zonenum(const struct page *page)
{
	return page_zonenum(page);
}

unsigned int mapkit_page_to_nid(const struct page *page)
{
	return page_to_nid(page);
}

void *mapkit_kmalloc(size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp);
}

pgprot_t mapkit_pgprot_writecombine(pgprot_t prot)
{
	return pgprot_writecombine(prot);
}

pgprot_t mapkit_pgprot_noncached(pgprot_t prot)
{
	return pgprot_noncached(prot);
}

void mapkit_this_cpu_add(unsigned long __percpu *counter, unsigned long n)
{
	this_cpu_add(*counter, n);
}

unsigned long mapkit_percpu_sum(const unsigned long __percpu *counter)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(counter, cpu));
	return sum;
}

struct page *mapkit_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

/* dma.rs takes this number for the error, which bindgen cannot tell it. */
static_assert(DMA_MAPPING_ERROR == (dma_addr_t)-1);

void mapkit_dma_mapping_error(struct device *dev, dma_addr_t bus)
{
	/* For what it tells DMA_API_DEBUG. */
	(void)dma_mapping_error(dev, bus);
}

bool mapkit_use_dma_iommu(struct device *dev)
{
	return use_dma_iommu(dev);
}

bool mapkit_dma_is_coherent(struct device *dev)
{
	return dev_is_dma_coherent(dev);
}

bool mapkit_dma_is_direct(struct device *dev)
{
	return !use_dma_iommu(dev) && !get_dma_ops(dev) && !dev->dma_range_map;
}

u64 mapkit_dma_limit(struct device *dev)
{
	return min_not_zero(dma_get_mask(dev), dev->bus_dma_limit);
}

u64 mapkit_dma_coherent_limit(struct device *dev)
{
	return min_not_zero(dev->coherent_dma_mask, dev->bus_dma_limit);
}

u64 mapkit_swiotlb_last(struct device *dev)
{
#ifdef CONFIG_SWIOTLB
	const struct io_tlb_mem *mem = dev->dma_io_tlb_mem;

	if (mem && mem->nslabs)
		return mem->defpool.end - 1;
#endif
	return 0;
}

unsigned int mapkit_dma_cache_alignment(void)
{
	return dma_get_cache_alignment();
}

unsigned int mapkit_dma_max_seg_size(struct device *dev)
{
	return dma_get_max_seg_size(dev);
}

/* Whether dma_alloc_coherent() gives a device memory of a pool that was assigned to it, and no other. */
static bool has_pool(struct device *dev)
{
#ifdef CONFIG_DMA_DECLARE_COHERENT
	return dev->dma_mem;
#else
	return false;
#endif
}

bool mapkit_dma_frames_are_known(struct device *dev)
{
	return IS_ENABLED(CONFIG_FLATMEM) || IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP) || !has_pool(dev);
}

bool mapkit_memory_is_encrypted(void)
{
	return cc_platform_has(CC_ATTR_MEM_ENCRYPT);
}

bool mapkit_dma_prot(struct device *dev, pgprot_t *prot)
{
	if (!dev_is_dma_coherent(dev))
		*prot = pgprot_dmacoherent(*prot);
	else if (has_pool(dev))
		/* As the kernel has mapped it, for any device, which dma_pgprot() does not know. */
		*prot = pgprot_writecombine(*prot);
	return !mapkit_memory_is_encrypted();
}

#ifdef CONFIG_DMA_SHARED_BUFFER
void mapkit_dma_buf_invalidate(struct dma_buf *buffer)
{
	dma_resv_lock(buffer->resv, NULL);
	dma_buf_invalidate_mappings(buffer);
	dma_resv_unlock(buffer->resv);
}
#endif

void mapkit_init_space(struct address_space *space)
{
	address_space_init_once(space);
	init_rwsem(&space->invalidate_lock);
	space->a_ops = &empty_aops;
	mapping_set_gfp_mask(space, GFP_KERNEL);
}

/* The file, which nobody sees, may go after this module: its operations are the kernel's. */
struct inode *mapkit_anon_inode(void)
{
	struct file *file = anon_inode_create_getfile("[mapwright]", &generic_ro_fops, NULL, O_RDWR, NULL);
	struct inode *inode;

	if (IS_ERR(file))
		return ERR_CAST(file);
	inode = file_inode(file);
	ihold(inode);
	fput(file);
	return inode;
}

void mapkit_pagefault_disable(void)
{
	pagefault_disable();
}

void mapkit_pagefault_enable(void)
{
	pagefault_enable();
}

loff_t mapkit_seek_cur(struct file *file, loff_t offset)
{
	loff_t pos;

	guard(spinlock)(&file->f_lock);
	if (check_add_overflow(file->f_pos, offset, &pos) || pos < 0)
		return -EINVAL;
	return vfs_setpos(file, pos, LLONG_MAX);
}

#ifdef CONFIG_PCI
bool mapkit_pci_is_requested(struct pci_dev *dev, unsigned int bar)
{
	const struct resource *resource = pci_resource_n(dev, bar);
	const struct resource *region = resource->child;

	return (resource->flags & IORESOURCE_MEM) && !(resource->flags & IORESOURCE_UNSET) &&
	       resource->parent && region && (region->flags & IORESOURCE_BUSY);
}
#endif

struct device *mapkit_find_device(const char *bus, const char *name)
{
#ifdef CONFIG_PCI
	if (!strcmp(bus, "pci"))
		return bus_find_device_by_name(&pci_bus_type, NULL, name);
#endif
	if (!strcmp(bus, "platform"))
		return bus_find_device_by_name(&platform_bus_type, NULL, name);
	return NULL;
}

int mapkit_device_is_at(struct device *dev, const char *path, gfp_t gfp)
{
	char *own = kobject_get_path(&dev->kobj, gfp);
	bool is_at;

	if (!own)
		return -ENOMEM;
	is_at = !strcmp(own, path);
	kfree(own);
	return is_at;
}

void mapkit_device_lock(struct device *dev)
{
	device_lock(dev);
}

void mapkit_device_unlock(struct device *dev)
{
	device_unlock(dev);
}

int mapkit_dma_may_use_foreign(struct device *dev)
{
	if (!device_is_bound(dev))
		return -ENODEV;
	if (!dev->dma_mask || !dev->coherent_dma_mask)
		return -EIO;
	if (!mapkit_dma_frames_are_known(dev))
		return -EOPNOTSUPP;
#ifdef CONFIG_PCI
	if (dev_is_pci(dev) && to_pci_driver(dev->driver)->driver_managed_dma)
		return -EBUSY;
#endif
	if (dev_is_platform(dev) && to_platform_driver(dev->driver)->driver_managed_dma)
		return -EBUSY;
	return 0;
}

void mapkit_forbid_bus(struct device *dev)
{
#ifdef CONFIG_PCI
	if (dev_is_pci(dev))
		pci_clear_master(to_pci_dev(dev));
#endif
}

static void mapkit_dma_use_release(struct device *dev, void *use)
{
}

int mapkit_dma_use_once(struct device *dev)
{
	void *use;

	if (devres_find(dev, mapkit_dma_use_release, NULL, NULL))
		return -EBUSY;
	use = devres_alloc(mapkit_dma_use_release, 0, GFP_KERNEL);
	if (!use)
		return -ENOMEM;
	devres_add(dev, use);
	return 0;
}

void mapkit_dma_sync_single_for_cpu(struct device *dev, dma_addr_t bus, size_t bytes,
				    enum dma_data_direction dir)
{
	dma_sync_single_for_cpu(dev, bus, bytes, dir);
}

void mapkit_dma_sync_single_for_device(struct device *dev, dma_addr_t bus, size_t bytes,
				       enum dma_data_direction dir)
{
	dma_sync_single_for_device(dev, bus, bytes, dir);
}

void mapkit_dma_sync_sgtable_for_cpu(struct device *dev, struct sg_table *table,
				     enum dma_data_direction dir)
{
	dma_sync_sgtable_for_cpu(dev, table, dir);
}

void mapkit_dma_sync_sgtable_for_device(struct device *dev, struct sg_table *table,
					enum dma_data_direction dir)
{
	dma_sync_sgtable_for_device(dev, table, dir);
}

void *mapkit_vmap_user(struct page **pages, unsigned int nr_pages)
{
	return vmap(pages, nr_pages, VM_USERMAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
}

pgprot_t mapkit_page_kernel(void)
{
	return PAGE_KERNEL;
}

void *mapkit_vmap(struct page **pages, unsigned int nr_pages, pgprot_t prot)
{
	return vmap(pages, nr_pages, VM_MAP, prot);
}

void mapkit_iosys_map_set_vaddr(struct iosys_map *map, void *addr)
{
	iosys_map_set_vaddr(map, addr);
}

#ifdef CONFIG_ARM64
void *mapkit_vmap_noncached(struct page **pages, unsigned int nr_pages)
{
	return vmap(pages, nr_pages, VM_MAP, pgprot_writecombine(PAGE_KERNEL));
}

/* As dcache_clean_inval_poc(), which is not exported; also waits for stores that are not cached. */
void mapkit_dcache_clean_inval_poc(void *addr, size_t bytes)
{
	unsigned long line = 4UL << FIELD_GET(CTR_EL0_DminLine_MASK, read_sanitised_ftr_reg(SYS_CTR_EL0));
	unsigned long end = (unsigned long)addr + bytes;
	unsigned long at;

	dsb(sy);
	for (at = round_down((unsigned long)addr, line); at < end; at += line)
		asm volatile("dc civac, %0" : : "r" (at) : "memory");
	dsb(sy);
}
#endif

void *mapkit_get_memcg(void)
{
	return get_mem_cgroup_from_mm(current->mm);
}

void mapkit_put_memcg(void *memcg)
{
	mem_cgroup_put(memcg);
}

void *mapkit_set_active_memcg(void *memcg)
{
	return set_active_memcg(memcg);
}

struct workqueue_struct *mapkit_alloc_workqueue(const char *name)
{
	return alloc_workqueue("%s", WQ_UNBOUND, 0, name);
}

void mapkit_raw_spin_lock_init(raw_spinlock_t *lock)
{
	raw_spin_lock_init(lock);
}

unsigned long mapkit_raw_spin_lock_irqsave(raw_spinlock_t *lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(lock, flags);
	return flags;
}

void mapkit_raw_spin_unlock_irqrestore(raw_spinlock_t *lock, unsigned long flags)
{
	raw_spin_unlock_irqrestore(lock, flags);
}

/* What mapkit's levels.rs computes: PMD_PAGES. */
static_assert(PMD_SIZE / PAGE_SIZE == PAGE_SIZE / 8);

/* What mapkit's dma_buf calls. */
MODULE_IMPORT_NS("DMA_BUF");
