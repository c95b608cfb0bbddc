// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module with mistakes, one of which it makes when it is inserted: what a kernel that looks for them
 * says of them. Never insert it where anything else is to go on.
 */

#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>

#define OBJECTS 50
#define OBJECT_SIZE 1500

static char *fault = "";
module_param(fault, charp, 0);
MODULE_PARM_DESC(fault, "leak, double-free, use-after-free, wrong-free, sleep, no-sleep or insert");

/* Nobody has the pointers when this ends. */
static noinline void leak(void)
{
	int i;

	for (i = 0; i < OBJECTS; i++) {
		void *volatile object = kmalloc(OBJECT_SIZE, GFP_KERNEL);

		object = NULL;
		(void)object;
	}
}

static noinline void double_free(void)
{
	void *volatile object = kmalloc(OBJECT_SIZE, GFP_KERNEL);

	kfree(object);
	kfree(object);
}

static noinline void use_after_free(void)
{
	char *volatile object = kmalloc(OBJECT_SIZE, GFP_KERNEL);

	kfree(object);
	if (object)
		WRITE_ONCE(object[8], 1);
}

/* vfree() of what kmalloc() gave. The object is lost. */
static noinline void wrong_free(void)
{
	void *volatile object = kmalloc(PAGE_SIZE, GFP_KERNEL);

	vfree(object);
}

/* Whoever holds a spinlock must not sleep: with GFP_ATOMIC this is no mistake. */
static noinline void allocate_locked(gfp_t gfp)
{
	static DEFINE_SPINLOCK(lock);
	void *object;

	spin_lock(&lock);
	object = kmalloc(OBJECT_SIZE, gfp);
	spin_unlock(&lock);
	kfree(object);
}

/* Gives a page to the calling process, at an address of its own, and says what came of it. */
static void insert_page(const char *kind, struct page *page)
{
	unsigned long addr = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, 0);
	struct vm_area_struct *vma;
	int ret = -ENOMEM;

	if (IS_ERR_VALUE(addr))
		return;
	mmap_write_lock(current->mm);
	vma = find_vma(current->mm, addr);
	if (vma && vma->vm_start <= addr)
		ret = vm_insert_page(vma, addr, page);
	mmap_write_unlock(current->mm);
	pr_info("vm_insert_page(%s): %d\n", kind, ret);
	vm_munmap(addr, PAGE_SIZE);
}

/* Pages of a slab are the slab allocator's: to give them away is a mistake that the kernel refuses. */
static noinline void insert(void)
{
	void *object = kmalloc(PAGE_SIZE, GFP_KERNEL);
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);

	if (object)
		insert_page("slab", virt_to_page(object));
	if (page) {
		insert_page("page", page);
		__free_page(page);
	}
	kfree(object);
}

static int __init faulty_init(void)
{
	if (!strcmp(fault, "leak"))
		leak();
	else if (!strcmp(fault, "double-free"))
		double_free();
	else if (!strcmp(fault, "use-after-free"))
		use_after_free();
	else if (!strcmp(fault, "wrong-free"))
		wrong_free();
	else if (!strcmp(fault, "sleep"))
		allocate_locked(GFP_KERNEL);
	else if (!strcmp(fault, "no-sleep"))
		allocate_locked(GFP_ATOMIC);
	else if (!strcmp(fault, "insert"))
		insert();
	else
		return -EINVAL;
	return 0;
}
module_init(faulty_init);

static void __exit faulty_exit(void)
{
}
module_exit(faulty_exit);

MODULE_DESCRIPTION("Makes a mistake, for kernels that find them");
MODULE_LICENSE("GPL");
