// SPDX-License-Identifier: GPL-2.0-only
/*
 * C wrappers for mapkit's page_cache and cachemap: inline functions of the kernel, and operations that are constant.
 */

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/userfaultfd_k.h>
#include "../../mapkit.h"

void mapkit_cache_init(struct inode *inode, loff_t bytes)
{
	struct address_space *mapping = inode->i_mapping;

	mapping_set_gfp_mask(mapping, GFP_KERNEL);
	mapping_set_inaccessible(mapping);
	mapping_set_large_folios(mapping);
	i_size_write(inode, bytes);
}

int mapkit_cache_add(struct inode *inode, void *addr, unsigned long index, gfp_t gfp)
{
	struct folio *folio = virt_to_folio(addr);
	int ret = filemap_add_folio(inode->i_mapping, folio, index, gfp);

	if (ret)
		return ret;
	folio_mark_uptodate(folio);
	folio_mark_dirty(folio);
	folio_unlock(folio);
	return 0;
}

void mapkit_cache_clear(struct inode *inode)
{
	truncate_inode_pages(inode->i_mapping, 0);
}

static int mapkit_cache_release(struct inode *inode, struct file *file)
{
	iput(file->private_data);
	return 0;
}

static const struct file_operations mapkit_cache_fops = {
	.owner = THIS_MODULE,
	.release = mapkit_cache_release,
	.fsync = noop_fsync,
};

int mapkit_cache_map(struct inode *inode, struct vm_area_struct *vma, unsigned long pgoff)
{
	struct file *file = anon_inode_getfile("[mapwright]", &mapkit_cache_fops, inode, O_RDWR);

	if (IS_ERR(file))
		return PTR_ERR(file);
	ihold(inode);
	file->f_mapping = inode->i_mapping;
	vma_set_file(vma, file);
	fput(file);
	vma->vm_pgoff = pgoff;
	return 0;
}

vm_fault_t mapkit_cache_map_pages(struct vm_fault *vmf, unsigned long first, unsigned long last)
{
	bool copies = vmf->flags & FAULT_FLAG_WRITE && !(vmf->vma->vm_flags & VM_SHARED);

	if (copies || uffd_disable_fault_around(vmf->vma))
		return 0;
	return filemap_map_pages(vmf, first, last);
}
