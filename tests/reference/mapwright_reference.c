// SPDX-License-Identifier: GPL-2.0-only
/*
 * mapwright_reference: the mapping methods of mapwright.ko, written in C.
 *
 * What the Rust module is measured against: the same memory, mapped by the same calls of the
 * kernel, with the checks of a careful driver, and counted alike. It speaks the ioctls CREATE and DESTROY of
 * rust/uapi, for the pairs pages + remap, vmalloc + insert, pages + fault, pages + huge, folio + huge-folio and
 * folio + page-cache. Two flags are its own: REF_SINGLY inserts page by page, and gives one page per fault as textbooks do;
 * REF_CONTIGUOUS makes one run of pages, of any length.
 *
 * Not for use: it has no limits, no tables of what it counts, no clock and no read(2).
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/percpu.h>
#include <linux/pfn.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>
#include <linux/vmalloc.h>

#define REF_BLOCK_PAGES	BIT(MAX_PAGE_ORDER)
#define REF_PMD_PAGES		BIT(PMD_SHIFT - PAGE_SHIFT)
#define REF_PUD_PAGES		BIT(PUD_SHIFT - PAGE_SHIFT)
/* Pages that vm_insert_pages() gets at once, at mmap(2) and on a fault. */
#define REF_BATCH		128
/* Pages that a fault maps: 2 MiB. */
#define REF_WINDOW		(SZ_2M / PAGE_SIZE)
#define REF_FIRST_OFFSET	BIT_ULL(30)
#define REF_MAX_BYTES		BIT_ULL(40)
#define REF_GFP		(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN | \
				 __GFP_RETRY_MAYFAIL)
/* What a page cache charges. */
#define REF_GFP_CACHE	(REF_GFP & ~__GFP_ACCOUNT)

/* The interface, as in rust/uapi/mapwright_uapi.rs. */
enum ref_backing {
	REF_PAGES = 1,
	REF_FOLIO = 2,
	REF_VMALLOC = 3,
};

enum ref_method {
	REF_REMAP = 0,
	REF_INSERT = 1,
	REF_FAULT = 2,
	REF_HUGE = 4,
	REF_HUGE_FOLIO = 7,
	REF_PAGE_CACHE = 8,
};

#define REF_SINGLY		BIT(0)
#define REF_CONTIGUOUS		BIT(1)

/* Whether the kernel can map 1 GiB by one entry. */
#if defined(CONFIG_TRANSPARENT_HUGEPAGE) && defined(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)
#define REF_HAS_PUD
#endif

struct ref_create {
	__u32 size;
	__u32 flags;
	__u32 backing;
	__u32 method;
	__u32 caching;
	__u32 reserved;
	__u64 bytes;
	__u64 id;
	__u64 offset;
};

struct ref_destroy {
	__u32 size;
	__u32 flags;
	__u64 id;
};

#define REF_IOC_CREATE		_IO(0xE7, 1)
#define REF_IOC_DESTROY	_IO(0xE7, 2)

/* What happened, as mapwright.ko counts it: in all, and of a region. */
struct ref_counters {
	unsigned long pages_mapped;
	unsigned long vmas_opened;
	unsigned long vmas_closed;
	unsigned long faults_failed;
};

struct ref_use {
	unsigned long mmaps;
	unsigned long faults_read;
	unsigned long faults_write;
	unsigned long pages_faulted;
};

static DEFINE_PER_CPU(struct ref_counters, ref_counters);

/* A region; its session and each VMA hold a reference. */
struct ref_region {
	struct kref ref;
	struct list_head node;
	u64 id;
	unsigned long pgoff;
	unsigned long nr_pages;
	enum ref_method method;
	unsigned long window;
	atomic_t vmas;
	struct ref_use __percpu *use;
	/* The memory: either of the two. The blocks are folios, or split. */
	void *vmalloc;
	bool is_folios;
	/* Whose page cache the folios are in, if they are in one. */
	struct inode *cache;
	bool is_run;
	unsigned long block_pages;
	unsigned long nr_blocks;
	void *blocks[] __counted_by(nr_blocks);
};

struct ref_session {
	/* Protects what follows. */
	struct mutex lock;
	struct list_head regions;
	unsigned long next_pgoff;
	u64 next_id;
};

static unsigned long ref_block_pages(struct ref_region *region, unsigned long i)
{
	return min(region->block_pages, region->nr_pages - i * region->block_pages);
}

static void ref_region_free(struct kref *ref)
{
	struct ref_region *region = container_of(ref, struct ref_region, ref);
	unsigned long i;

	if (region->cache) {
		truncate_inode_pages(region->cache->i_mapping, 0);
		iput(region->cache);
	}
	vfree(region->vmalloc);
	for (i = 0; i < region->nr_blocks && region->blocks[i]; i++) {
		if (region->is_run)
			free_contig_range(PHYS_PFN(__pa(region->blocks[i])), region->nr_pages);
		else if (region->is_folios)
			folio_put(virt_to_folio(region->blocks[i]));
		else
			free_pages_exact(region->blocks[i], ref_block_pages(region, i) * PAGE_SIZE);
	}
	free_percpu(region->use);
	kfree(region);
}

static void ref_region_put(struct ref_region *region)
{
	kref_put(&region->ref, ref_region_free);
}

static void *ref_folio_new(unsigned long nr_pages, gfp_t gfp)
{
	struct folio *folio = folio_alloc(gfp, order_base_2(nr_pages));

	return folio ? folio_address(folio) : NULL;
}

/* An inode of its own, which nobody can open, and whose pages stay where they are. */
static int ref_cache_new(struct ref_region *region)
{
	struct file *file = anon_inode_create_getfile("[mapwright_reference]", &generic_ro_fops, NULL,
						      O_RDWR, NULL);
	struct inode *inode;

	if (IS_ERR(file))
		return PTR_ERR(file);
	inode = file_inode(file);
	ihold(inode);
	fput(file);
	mapping_set_gfp_mask(inode->i_mapping, GFP_KERNEL);
	mapping_set_inaccessible(inode->i_mapping);
	mapping_set_large_folios(inode->i_mapping);
	i_size_write(inode, (loff_t)region->nr_pages << PAGE_SHIFT);
	region->cache = inode;
	return 0;
}

static int ref_cache_add(struct ref_region *region, unsigned long i)
{
	struct folio *folio = virt_to_folio(region->blocks[i]);
	int ret = filemap_add_folio(region->cache->i_mapping, folio, i * region->block_pages,
				    REF_GFP_CACHE & ~__GFP_ZERO);

	if (ret)
		return ret;
	folio_mark_uptodate(folio);
	folio_mark_dirty(folio);
	folio_unlock(folio);
	return 0;
}

static void *ref_run_new(unsigned long nr_pages)
{
	struct page *page = alloc_contig_pages(nr_pages, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN,
					       numa_mem_id(), NULL);

	return page ? page_address(page) : NULL;
}

static int ref_region_fill(struct ref_region *region)
{
	gfp_t gfp = region->method == REF_PAGE_CACHE ? REF_GFP_CACHE : REF_GFP;
	unsigned long i;
	int ret;

	if (region->method == REF_PAGE_CACHE) {
		ret = ref_cache_new(region);
		if (ret)
			return ret;
	}
	for (i = 0; i < region->nr_blocks; i++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (region->is_run)
			region->blocks[i] = ref_run_new(region->nr_pages);
		else if (region->is_folios)
			region->blocks[i] = ref_folio_new(ref_block_pages(region, i), gfp);
		else
			region->blocks[i] = alloc_pages_exact(ref_block_pages(region, i) * PAGE_SIZE,
							      REF_GFP);
		if (!region->blocks[i])
			return -ENOMEM;
		if (region->cache) {
			ret = ref_cache_add(region, i);
			if (ret)
				return ret;
		}
	}
	return 0;
}

static struct ref_region *ref_region_new(const struct ref_create *create)
{
	unsigned long nr_pages = create->bytes / PAGE_SIZE;
	bool is_folios = create->backing == REF_FOLIO;
	bool is_run = create->flags & REF_CONTIGUOUS;
	unsigned long block_pages = is_run ? nr_pages : is_folios ? REF_PMD_PAGES : REF_BLOCK_PAGES;
	unsigned long nr_blocks = 0;
	struct ref_region *region;
	int ret = 0;

	if (create->backing != REF_VMALLOC)
		nr_blocks = DIV_ROUND_UP(nr_pages, block_pages);
	region = kzalloc(struct_size(region, blocks, nr_blocks),
			 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!region)
		return ERR_PTR(-ENOMEM);
	kref_init(&region->ref);
	region->nr_pages = nr_pages;
	region->is_folios = is_folios;
	region->is_run = is_run;
	region->block_pages = block_pages;
	region->nr_blocks = nr_blocks;
	region->method = create->method;
	region->window = create->flags & REF_SINGLY ? 1 : REF_WINDOW;

	region->use = alloc_percpu(struct ref_use);
	if (!region->use) {
		ret = -ENOMEM;
	} else if (create->backing != REF_VMALLOC) {
		ret = ref_region_fill(region);
	} else {
		region->vmalloc = __vmalloc(nr_pages * PAGE_SIZE, REF_GFP);
		if (!region->vmalloc)
			ret = -ENOMEM;
	}
	if (ret) {
		ref_region_put(region);
		return ERR_PTR(ret);
	}
	return region;
}

static void *ref_addr(struct ref_region *region, unsigned long page)
{
	return region->blocks[page / region->block_pages] + page % region->block_pages * PAGE_SIZE;
}

static unsigned long ref_pfn(struct ref_region *region, unsigned long page)
{
	return PHYS_PFN(__pa(ref_addr(region, page)));
}

static struct page *ref_page(struct ref_region *region, unsigned long page)
{
	if (region->vmalloc)
		return vmalloc_to_page(region->vmalloc + page * PAGE_SIZE);
	return virt_to_page(ref_addr(region, page));
}

static void ref_vma_open(struct vm_area_struct *vma)
{
	struct ref_region *region = vma->vm_private_data;

	kref_get(&region->ref);
	atomic_inc(&region->vmas);
	this_cpu_inc(ref_counters.vmas_opened);
}

#ifdef REF_HAS_PUD
static bool ref_has_gigabytes(struct ref_region *region)
{
	return region->is_run && region->nr_pages >= REF_PUD_PAGES && boot_cpu_has(X86_FEATURE_GBPAGES);
}

/* The kernel cannot split a VMA in the middle of an entry for 1 GiB ... */
static int ref_vma_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	unsigned long start = addr & PUD_MASK;

	if (start != addr && start >= vma->vm_start && start + PUD_SIZE <= vma->vm_end &&
	    ref_has_gigabytes(vma->vm_private_data)) {
		vma_start_write(vma);
		zap_vma_range(vma, start, PUD_SIZE);
	}
	return 0;
}

/* ... and cannot move it: this is called before it tries. */
static void ref_vma_open_huge(struct vm_area_struct *vma)
{
	struct ref_region *region = vma->vm_private_data;

	ref_vma_open(vma);
	if (vma->vm_mm == current->mm && ref_has_gigabytes(region))
		unmap_mapping_pages(vma->vm_file->f_mapping, region->pgoff, region->nr_pages, true);
}

static unsigned long ref_get_unmapped_area(struct file *file, unsigned long addr, unsigned long len,
					   unsigned long pgoff, unsigned long flags)
{
	unsigned long found;

	if (!addr && !(flags & MAP_FIXED) && len >= PUD_SIZE && len + PUD_SIZE > len) {
		found = thp_get_unmapped_area(file, addr, len + PUD_SIZE, pgoff, flags);
		if (!IS_ERR_VALUE(found))
			return found + (((pgoff << PAGE_SHIFT) - found) & (PUD_SIZE - 1));
	}
	return thp_get_unmapped_area(file, addr, len, pgoff, flags);
}
#else
#define ref_vma_open_huge ref_vma_open
#define ref_get_unmapped_area thp_get_unmapped_area
#endif

static void ref_vma_close(struct vm_area_struct *vma)
{
	struct ref_region *region = vma->vm_private_data;

	atomic_dec(&region->vmas);
	this_cpu_inc(ref_counters.vmas_closed);
	ref_region_put(region);
}

/* A fault ends like this, and has mapped so many pages. */
static vm_fault_t ref_faulted(struct vm_fault *vmf, vm_fault_t ret, unsigned long nr_pages)
{
	struct ref_region *region = vmf->vma->vm_private_data;

	this_cpu_add(region->use->pages_faulted, nr_pages);
	if (ret & VM_FAULT_ERROR)
		this_cpu_inc(ref_counters.faults_failed);
	else if (vmf->flags & FAULT_FLAG_WRITE)
		this_cpu_inc(region->use->faults_write);
	else
		this_cpu_inc(region->use->faults_read);
	return ret;
}

/* The pages around the one that was touched which the window, the VMA and the memory have. */
static bool ref_around(struct vm_fault *vmf, unsigned long *touched, unsigned long *first,
			unsigned long *end)
{
	struct vm_area_struct *vma = vmf->vma;
	struct ref_region *region = vma->vm_private_data;
	unsigned long before = (vmf->address - vma->vm_start) >> PAGE_SHIFT;
	unsigned long after = (vma->vm_end - vmf->address) >> PAGE_SHIFT;

	*touched = vmf->pgoff - region->pgoff;
	if (*touched >= region->nr_pages)
		return false;
	*end = (*touched & ~(region->window - 1)) + region->window;
	*first = max(*end - region->window, *touched - min(before, *touched));
	*end = min3(*end, *touched + after, region->nr_pages);
	return true;
}

/* Inserts pages from *next on until one fails, and moves *next on. */
static int ref_insert_from(struct vm_fault *vmf, unsigned long touched, unsigned long *next,
			    unsigned long end)
{
	struct ref_region *region = vmf->vma->vm_private_data;
	unsigned long addr = vmf->address - (touched - *next) * PAGE_SIZE;
	unsigned long nr = min(end - *next, REF_BATCH);
	unsigned long left = nr;
	struct page *pages[REF_BATCH];
	unsigned long i;
	int err;

	for (i = 0; i < nr; i++)
		pages[i] = ref_page(region, *next + i);
	err = vm_insert_pages(vmf->vma, addr, pages, &left);
	*next += nr - left;
	return err;
}

static vm_fault_t ref_fault(struct vm_fault *vmf)
{
	unsigned long touched, next, end, from;
	unsigned long inserted = 0;
	int err;

	if (!ref_around(vmf, &touched, &next, &end))
		return ref_faulted(vmf, VM_FAULT_SIGBUS, 0);
	do {
		from = next;
		err = ref_insert_from(vmf, touched, &next, end);
		inserted += next - from;
		if (err && next < touched) {
			/* Some was there already: what was touched matters, and what follows. */
			next = touched;
			err = 0;
		}
	} while (!err && next < end);
	/* With what was touched; or another thread was faster, or took the page table away. */
	if (next > touched || err == -EBUSY || err == -EFAULT)
		return ref_faulted(vmf, VM_FAULT_NOPAGE, inserted);
	return ref_faulted(vmf, vmf_error(err), inserted);
}

/* Where there is no page table yet: before a fault, the kernel would allocate one, too. */
static vm_fault_t ref_fault_table(struct vm_fault *vmf, unsigned int order)
{
	return order == PMD_SHIFT - PAGE_SHIFT ? ref_fault(vmf) : VM_FAULT_FALLBACK;
}

/* As in textbooks: the kernel does the rest, and again for the next page. */
static vm_fault_t ref_fault_singly(struct vm_fault *vmf)
{
	struct ref_region *region = vmf->vma->vm_private_data;
	unsigned long page = vmf->pgoff - region->pgoff;

	if (page >= region->nr_pages)
		return ref_faulted(vmf, VM_FAULT_SIGBUS, 0);
	vmf->page = ref_page(region, page);
	get_page(vmf->page);
	return ref_faulted(vmf, 0, 1);
}

static vm_fault_t ref_fault_pfn(struct vm_fault *vmf)
{
	struct ref_region *region = vmf->vma->vm_private_data;
	unsigned long touched, first, end, page, addr;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	unsigned long nr_inserted = 0;
	vm_fault_t inserted;

	if (!ref_around(vmf, &touched, &first, &end))
		return ref_faulted(vmf, VM_FAULT_SIGBUS, 0);
	addr = vmf->address - (touched - first) * PAGE_SIZE;
	for (page = first; page < end; page++, addr += PAGE_SIZE) {
		inserted = vmf_insert_pfn(vmf->vma, addr, ref_pfn(region, page));
		if (page == touched)
			ret = inserted;
		if (!(inserted & VM_FAULT_ERROR))
			nr_inserted++;
	}
	return ref_faulted(vmf, ret, nr_inserted);
}

/* The first page of the huge page that was touched, if the VMA and a block have all of it. */
static bool ref_huge_page(struct vm_fault *vmf, unsigned int order, unsigned long *first)
{
	struct vm_area_struct *vma = vmf->vma;
	struct ref_region *region = vma->vm_private_data;
	unsigned long nr_pages = BIT(order);
	unsigned long start = vmf->address & ~(nr_pages * PAGE_SIZE - 1);
	unsigned long within = (vmf->address - start) >> PAGE_SHIFT;

	if (start < vma->vm_start || start + nr_pages * PAGE_SIZE > vma->vm_end)
		return false;
	if (vmf->pgoff < region->pgoff + within)
		return false;
	*first = vmf->pgoff - region->pgoff - within;
	return *first < region->nr_pages &&
	       *first % region->block_pages + nr_pages <= region->block_pages &&
	       *first + nr_pages <= region->nr_pages;
}

static vm_fault_t ref_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct ref_region *region = vmf->vma->vm_private_data;
	unsigned long first, pfn;
	vm_fault_t ret;

	if (!ref_huge_page(vmf, order, &first))
		return VM_FAULT_FALLBACK;
	pfn = ref_pfn(region, first);
	if (!IS_ALIGNED(pfn, BIT(order)))
		return VM_FAULT_FALLBACK;
	if (order == PMD_SHIFT - PAGE_SHIFT)
		ret = vmf_insert_pfn_pmd(vmf, pfn, vmf->flags & FAULT_FLAG_WRITE);
#ifdef REF_HAS_PUD
	else if (order == PUD_SHIFT - PAGE_SHIFT && ref_has_gigabytes(region))
		ret = vmf_insert_pfn_pud(vmf, pfn, vmf->flags & FAULT_FLAG_WRITE);
#endif
	else
		return VM_FAULT_FALLBACK;
	return ref_faulted(vmf, ret, ret & VM_FAULT_ERROR ? 0 : BIT(order));
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* The folio behind the one that was touched, by the next entry of the same table, if that is empty. */
static bool ref_insert_next_folio(struct vm_fault *vmf, unsigned long first)
{
	struct ref_region *region = vmf->vma->vm_private_data;
	struct vm_fault next = {
		.vma = vmf->vma,
		.address = (vmf->address & PMD_MASK) + PMD_SIZE,
		.pmd = vmf->pmd + 1,
	};

	if (next.address + PMD_SIZE > vmf->vma->vm_end || pmd_index(next.address) == 0)
		return false;
	if (first + REF_PMD_PAGES > region->nr_pages || !pmd_none(pmdp_get_lockless(next.pmd)))
		return false;
	return !(vmf_insert_folio_pmd(&next, page_folio(ref_page(region, first)), false) &
		 VM_FAULT_ERROR);
}

static vm_fault_t ref_huge_fault_folio(struct vm_fault *vmf, unsigned int order)
{
	struct ref_region *region = vmf->vma->vm_private_data;
	unsigned long first;
	struct folio *folio;
	vm_fault_t ret;
	bool write;

	/* Of a private mapping, a page is copied. */
	if (vmf->flags & FAULT_FLAG_WRITE && !(vmf->vma->vm_flags & VM_SHARED))
		return VM_FAULT_FALLBACK;
	if (order != PMD_SHIFT - PAGE_SHIFT || !ref_huge_page(vmf, order, &first))
		return VM_FAULT_FALLBACK;
	folio = page_folio(ref_page(region, first));
	write = vmf->flags & FAULT_FLAG_WRITE && !pmd_none(vmf->orig_pmd);
	ret = vmf_insert_folio_pmd(vmf, folio, write);
	if (ret & VM_FAULT_ERROR)
		return ref_faulted(vmf, ret, 0);
	if (ref_insert_next_folio(vmf, first + REF_PMD_PAGES))
		return ref_faulted(vmf, ret, 2 * REF_PMD_PAGES);
	return ref_faulted(vmf, ret, REF_PMD_PAGES);
}
#endif

/* As many pages as the page table has room for, unless one is to be copied, or each fault to be seen. */
static vm_fault_t ref_fault_cache(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct ref_region *region = vma->vm_private_data;
	unsigned long start = max(vmf->address & PMD_MASK, vma->vm_start);
	unsigned long first = vmf->pgoff - ((vmf->address - start) >> PAGE_SHIFT);
	unsigned long nr = min(vma->vm_end - start, PMD_SIZE - (start & ~PMD_MASK)) >> PAGE_SHIFT;
	bool copies = vmf->flags & FAULT_FLAG_WRITE && !(vma->vm_flags & VM_SHARED);

	if (vmf->pgoff >= region->nr_pages)
		return ref_faulted(vmf, VM_FAULT_SIGBUS, 0);
	if (!copies && !uffd_disable_fault_around(vma) &&
	    filemap_map_pages(vmf, first, first + nr - 1))
		return ref_faulted(vmf, VM_FAULT_NOPAGE, nr);
	vmf->page = ref_page(region, vmf->pgoff);
	get_page(vmf->page);
	return ref_faulted(vmf, 0, 1);
}

static const struct vm_operations_struct ref_cache_ops = {
	.open = ref_vma_open,
	.close = ref_vma_close,
	.fault = ref_fault_cache,
};

static const struct vm_operations_struct ref_eager_ops = {
	.open = ref_vma_open,
	.close = ref_vma_close,
};

static const struct vm_operations_struct ref_fault_ops = {
	.open = ref_vma_open,
	.close = ref_vma_close,
	.fault = ref_fault,
	.huge_fault = ref_fault_table,
};

static const struct vm_operations_struct ref_fault_singly_ops = {
	.open = ref_vma_open,
	.close = ref_vma_close,
	.fault = ref_fault_singly,
};

static const struct vm_operations_struct ref_huge_ops = {
	.open = ref_vma_open_huge,
	.close = ref_vma_close,
#ifdef REF_HAS_PUD
	.may_split = ref_vma_may_split,
#endif
	.fault = ref_fault_pfn,
	.huge_fault = ref_huge_fault,
};

/* Where no huge page fits, a page at a time: the kernel maps all of a folio by itself where it may. */
static const struct vm_operations_struct ref_huge_folio_ops = {
	.open = ref_vma_open,
	.close = ref_vma_close,
	.fault = ref_fault_singly,
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	.huge_fault = ref_huge_fault_folio,
#endif
};

static int ref_remap(struct ref_region *region, struct vm_area_struct *vma, unsigned long page)
{
	unsigned long addr = vma->vm_start;
	unsigned long bytes;
	int ret;

	if ((vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE)
		return -EINVAL;
	for (; addr < vma->vm_end; addr += bytes, page += bytes >> PAGE_SHIFT) {
		bytes = (region->block_pages - page % region->block_pages) * PAGE_SIZE;
		bytes = min(bytes, vma->vm_end - addr);
		ret = remap_pfn_range(vma, addr, ref_pfn(region, page), bytes, vma->vm_page_prot);
		if (ret)
			return ret;
	}
	vma->vm_ops = &ref_eager_ops;
	return 0;
}

static int ref_insert_singly(struct ref_region *region, struct vm_area_struct *vma,
			      unsigned long page)
{
	unsigned long addr;
	int ret;

	for (addr = vma->vm_start; addr < vma->vm_end; addr += PAGE_SIZE, page++) {
		ret = vm_insert_page(vma, addr, ref_page(region, page));
		if (ret)
			return ret;
	}
	return 0;
}

static int ref_insert_batches(struct ref_region *region, struct vm_area_struct *vma,
			       unsigned long page)
{
	struct page *pages[REF_BATCH];
	unsigned long addr = vma->vm_start;
	unsigned long i, nr, left;
	int ret;

	for (; addr < vma->vm_end; addr += nr * PAGE_SIZE, page += nr) {
		if (fatal_signal_pending(current))
			return -EINTR;
		nr = min(REF_BATCH, (vma->vm_end - addr) >> PAGE_SHIFT);
		for (i = 0; i < nr; i++)
			pages[i] = ref_page(region, page + i);
		left = nr;
		ret = vm_insert_pages(vma, addr, pages, &left);
		if (ret)
			return ret;
	}
	return 0;
}

static int ref_insert(struct ref_region *region, struct vm_area_struct *vma, unsigned long page)
{
	int ret;

	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP);
	if (region->window == 1)
		ret = ref_insert_singly(region, vma, page);
	else
		ret = ref_insert_batches(region, vma, page);
	if (!ret)
		vma->vm_ops = &ref_eager_ops;
	return ret;
}

static int ref_on_fault(struct ref_region *region, struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = region->window == 1 ? &ref_fault_singly_ops : &ref_fault_ops;
	return 0;
}

static int ref_huge(struct vm_area_struct *vma)
{
	if ((vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE)
		return -EINVAL;
	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &ref_huge_ops;
	return 0;
}

/* An ordinary VMA: of others, the kernel does not drop the reference of an entry that is split. */
static int ref_huge_folio(struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_HUGEPAGE | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &ref_huge_folio_ops;
	return 0;
}

static int ref_cache_release(struct inode *inode, struct file *file)
{
	iput(file->private_data);
	return 0;
}

static const struct file_operations ref_cache_fops = {
	.owner = THIS_MODULE,
	.release = ref_cache_release,
	.fsync = noop_fsync,
};

/* The VMA of another file, whose pages are those of the cache. */
static int ref_page_cache(struct ref_region *region, struct vm_area_struct *vma,
			  unsigned long page)
{
	struct file *file = anon_inode_getfile("[mapwright_reference]", &ref_cache_fops,
					       region->cache, O_RDWR);

	if (IS_ERR(file))
		return PTR_ERR(file);
	ihold(region->cache);
	file->f_mapping = region->cache->i_mapping;
	vma_set_file(vma, file);
	fput(file);
	vma->vm_pgoff = page;
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &ref_cache_ops;
	return 0;
}

static int ref_map(struct ref_region *region, struct vm_area_struct *vma)
{
	unsigned long page = vma->vm_pgoff - region->pgoff;

	if (vma_pages(vma) > region->nr_pages - page)
		return -EINVAL;
	switch (region->method) {
	case REF_REMAP:
		return ref_remap(region, vma, page);
	case REF_INSERT:
		return ref_insert(region, vma, page);
	case REF_FAULT:
		return ref_on_fault(region, vma);
	case REF_HUGE:
		return ref_huge(vma);
	case REF_HUGE_FOLIO:
		return ref_huge_folio(vma);
	case REF_PAGE_CACHE:
		return ref_page_cache(region, vma, page);
	}
	return -EINVAL;
}

static struct ref_region *ref_find(struct ref_session *session, unsigned long pgoff)
{
	struct ref_region *region;

	list_for_each_entry(region, &session->regions, node)
		if (pgoff >= region->pgoff && pgoff - region->pgoff < region->nr_pages)
			return region;
	return NULL;
}

static int ref_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct ref_session *session = file->private_data;
	struct ref_region *region;
	int ret;

	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	vm_flags_clear(vma, VM_MAYEXEC);

	scoped_guard(mutex, &session->lock) {
		region = ref_find(session, vma->vm_pgoff);
		if (!region)
			return -EINVAL;
		/* The reference and the count are the VMA's, if all goes well. */
		kref_get(&region->ref);
		atomic_inc(&region->vmas);
	}
	ret = ref_map(region, vma);
	if (ret) {
		/* Entries are visible at once: they have to go before the memory can. */
		zap_vma_range(vma, vma->vm_start, vma->vm_end - vma->vm_start);
		atomic_dec(&region->vmas);
		ref_region_put(region);
		return ret;
	}
	vma->vm_private_data = region;
	this_cpu_inc(ref_counters.vmas_opened);
	this_cpu_add(ref_counters.pages_mapped, vma_pages(vma));
	this_cpu_inc(region->use->mmaps);
	return 0;
}

static bool ref_is_known(const struct ref_create *create)
{
	switch (create->method) {
	case REF_REMAP:
	case REF_FAULT:
	case REF_HUGE:
		return create->backing == REF_PAGES;
	case REF_INSERT:
		return create->backing == REF_VMALLOC;
	case REF_HUGE_FOLIO:
	case REF_PAGE_CACHE:
		return create->backing == REF_FOLIO;
	}
	return false;
}

static int ref_read(void *to, size_t bytes, const void __user *from)
{
	u32 size;

	if (get_user(size, (const u32 __user *)from))
		return -EFAULT;
	if (size < bytes)
		return -EINVAL;
	return copy_struct_from_user(to, bytes, from, size);
}

static long ref_ioctl_create(struct ref_session *session, void __user *arg)
{
	struct ref_create create;
	struct ref_region *region;
	unsigned long align;
	int ret;

	ret = ref_read(&create, sizeof(create), arg);
	if (ret)
		return ret;
	if (create.flags & ~(REF_SINGLY | REF_CONTIGUOUS) || create.caching || create.reserved || !create.bytes ||
	    create.bytes > REF_MAX_BYTES)
		return -EINVAL;
	if (!ref_is_known(&create) ||
	    (create.flags & REF_CONTIGUOUS && create.backing != REF_PAGES))
		return -EOPNOTSUPP;

	create.bytes = PAGE_ALIGN(create.bytes);
	region = ref_region_new(&create);
	if (IS_ERR(region))
		return PTR_ERR(region);

	scoped_guard(mutex, &session->lock) {
		align = region->nr_pages >= REF_PMD_PAGES ? REF_PMD_PAGES : 1;
		if (region->nr_pages >= REF_PUD_PAGES)
			align = REF_PUD_PAGES;
		region->pgoff = ALIGN(session->next_pgoff, align);
		region->id = ++session->next_id;
		session->next_pgoff = region->pgoff + region->nr_pages + 1;
	}
	create.id = region->id;
	create.offset = (u64)region->pgoff << PAGE_SHIFT;
	if (copy_to_user(arg, &create, sizeof(create))) {
		ref_region_put(region);
		return -EFAULT;
	}
	guard(mutex)(&session->lock);
	list_add(&region->node, &session->regions);
	return 0;
}

static long ref_ioctl_destroy(struct ref_session *session, void __user *arg)
{
	struct ref_region *match = NULL, *region;
	struct ref_destroy destroy;
	int ret;

	ret = ref_read(&destroy, sizeof(destroy), arg);
	if (ret)
		return ret;
	if (destroy.flags)
		return -EINVAL;

	scoped_guard(mutex, &session->lock) {
		list_for_each_entry(region, &session->regions, node) {
			if (region->id == destroy.id) {
				match = region;
				break;
			}
		}
		if (!match)
			return -ENOENT;
		/* Nobody begins to map it now: that takes the lock. */
		if (atomic_read(&match->vmas))
			return -EBUSY;
		list_del(&match->node);
	}
	ref_region_put(match);
	return 0;
}

static long ref_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ref_session *session = file->private_data;

	switch (cmd) {
	case REF_IOC_CREATE:
		return ref_ioctl_create(session, (void __user *)arg);
	case REF_IOC_DESTROY:
		return ref_ioctl_destroy(session, (void __user *)arg);
	}
	return -ENOTTY;
}

static int ref_open(struct inode *inode, struct file *file)
{
	struct ref_session *session;

	session = kzalloc_obj(*session, GFP_KERNEL_ACCOUNT);
	if (!session)
		return -ENOMEM;
	mutex_init(&session->lock);
	INIT_LIST_HEAD(&session->regions);
	session->next_pgoff = REF_FIRST_OFFSET >> PAGE_SHIFT;
	file->private_data = session;
	return 0;
}

static int ref_release(struct inode *inode, struct file *file)
{
	struct ref_session *session = file->private_data;
	struct ref_region *region, *next;

	list_for_each_entry_safe(region, next, &session->regions, node)
		ref_region_put(region);
	mutex_destroy(&session->lock);
	kfree(session);
	return 0;
}

static const struct file_operations ref_fops = {
	.owner = THIS_MODULE,
	.open = ref_open,
	.release = ref_release,
	.mmap = ref_mmap,
	.get_unmapped_area = ref_get_unmapped_area,
	.unlocked_ioctl = ref_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice ref_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &ref_fops,
	.mode = 0600,
};
module_misc_device(ref_misc);

MODULE_AUTHOR("The mapwright developers");
MODULE_DESCRIPTION("The mapping methods of mapwright in C, to measure it against");
MODULE_LICENSE("GPL");
