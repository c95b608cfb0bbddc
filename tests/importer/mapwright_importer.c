// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver that imports DMA-bufs and does with them what drivers do: maps them into programs, with operations of its
 * own set before, into the kernel, and for a device. Only for the tests.
 */

#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/iosys-map.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

/* Holds the DMA-buf of a file descriptor. */
#define IMPORTER_HOLD	_IOW('I', 1, int)
/* Has the kernel fill all of it with a byte. */
#define IMPORTER_FILL	_IOW('I', 2, int)
/* Maps it for a device that reaches so many address bits and reads it; and the same for one that writes, too. */
#define IMPORTER_READS	_IOW('I', 3, int)
#define IMPORTER_WRITES	_IOW('I', 4, int)
/* From now on, mmap() makes VMAs of frame numbers before it asks the exporter. */
#define IMPORTER_KIND	_IOW('I', 5, int)

static unsigned int calls;
module_param(calls, uint, 0444);
MODULE_PARM_DESC(calls, "How often the operations of this driver's VMAs were called, which are the exporter's to replace");

struct importer {
	struct dma_buf *buffer;
	bool kind;
};

static void importer_vma_open(struct vm_area_struct *vma)
{
	calls++;
}

static void importer_vma_close(struct vm_area_struct *vma)
{
	calls++;
}

static vm_fault_t importer_vma_fault(struct vm_fault *vmf)
{
	calls++;
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct importer_vma_ops = {
	.open = importer_vma_open,
	.close = importer_vma_close,
	.fault = importer_vma_fault,
};

static int importer_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct importer *importer = file->private_data;
	int err;

	if (!importer->buffer)
		return -ENXIO;
	vma->vm_ops = &importer_vma_ops;
	vma->vm_private_data = importer;
	vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	if (importer->kind)
		vm_flags_set(vma, VM_IO | VM_PFNMAP);
	err = dma_buf_mmap(importer->buffer, vma, vma->vm_pgoff);
	/* What fails leaves what is not the exporter's as it was. */
	if (err && vma->vm_private_data != importer)
		calls++;
	return err;
}

static int importer_hold(struct importer *importer, int fd)
{
	struct dma_buf *buffer = dma_buf_get(fd);

	if (IS_ERR(buffer))
		return PTR_ERR(buffer);
	if (importer->buffer)
		dma_buf_put(importer->buffer);
	importer->buffer = buffer;
	return 0;
}

/* Two drivers at once, of which the one has it longer than the other. */
static int importer_fill(struct dma_buf *buffer, int byte)
{
	struct iosys_map one, other;
	int err;

	err = dma_buf_vmap_unlocked(buffer, &one);
	if (err)
		return err;
	err = dma_buf_vmap_unlocked(buffer, &other);
	if (err)
		goto unmap;
	dma_buf_vunmap_unlocked(buffer, &other);
	err = dma_buf_begin_cpu_access(buffer, DMA_BIDIRECTIONAL);
	if (err)
		goto unmap;
	iosys_map_memset(&one, 0, byte, buffer->size);
	err = dma_buf_end_cpu_access(buffer, DMA_BIDIRECTIONAL);
unmap:
	dma_buf_vunmap_unlocked(buffer, &one);
	return err;
}

/* Whether the device reaches all that it was given, and that is all of the buffer. */
static int importer_check(struct dma_buf *buffer, struct sg_table *table, u64 mask)
{
	struct scatterlist *sg;
	size_t bytes = 0;
	int i;

	for_each_sgtable_dma_sg(table, sg, i) {
		if (sg_dma_address(sg) + sg_dma_len(sg) - 1 > mask)
			return -EFAULT;
		bytes += sg_dma_len(sg);
	}
	return bytes == buffer->size ? 0 : -EIO;
}

static int importer_give(struct dma_buf *buffer, unsigned int bits, enum dma_data_direction dir)
{
	struct platform_device *device;
	struct dma_buf_attachment *attachment;
	struct sg_table *table;
	int err;

	if (!bits || bits > 64)
		return -EINVAL;
	device = platform_device_register_simple("mapwright-importer", PLATFORM_DEVID_AUTO, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	err = dma_coerce_mask_and_coherent(&device->dev, DMA_BIT_MASK(bits));
	if (err)
		goto unregister;
	attachment = dma_buf_attach(buffer, &device->dev);
	if (IS_ERR(attachment)) {
		err = PTR_ERR(attachment);
		goto unregister;
	}
	table = dma_buf_map_attachment_unlocked(attachment, dir);
	if (IS_ERR(table)) {
		err = PTR_ERR(table);
		goto detach;
	}
	err = importer_check(buffer, table, DMA_BIT_MASK(bits));
	dma_buf_unmap_attachment_unlocked(attachment, table, dir);
detach:
	dma_buf_detach(buffer, attachment);
unregister:
	platform_device_unregister(device);
	return err;
}

static long importer_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct importer *importer = file->private_data;

	if (cmd == IMPORTER_HOLD)
		return importer_hold(importer, arg);
	if (!importer->buffer)
		return -ENXIO;
	switch (cmd) {
	case IMPORTER_FILL:
		return importer_fill(importer->buffer, arg);
	case IMPORTER_READS:
		return importer_give(importer->buffer, arg, DMA_TO_DEVICE);
	case IMPORTER_WRITES:
		return importer_give(importer->buffer, arg, DMA_BIDIRECTIONAL);
	case IMPORTER_KIND:
		importer->kind = true;
		return 0;
	}
	return -ENOTTY;
}

static int importer_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(sizeof(struct importer), GFP_KERNEL);
	return file->private_data ? 0 : -ENOMEM;
}

static int importer_release(struct inode *inode, struct file *file)
{
	struct importer *importer = file->private_data;

	if (importer->buffer)
		dma_buf_put(importer->buffer);
	kfree(importer);
	return 0;
}

static const struct file_operations importer_fops = {
	.owner = THIS_MODULE,
	.open = importer_open,
	.release = importer_release,
	.unlocked_ioctl = importer_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = importer_mmap,
};

static struct miscdevice importer_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "mapwright-importer",
	.fops = &importer_fops,
	.mode = 0600,
};

module_misc_device(importer_device);

MODULE_DESCRIPTION("Imports DMA-bufs as drivers do, for tests");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
