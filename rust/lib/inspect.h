/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What inspect.c and Rust tell each other: see ffi.rs for the other side.
 */
#ifndef MAPKIT_INSPECT_H
#define MAPKIT_INSPECT_H

#include <linux/mmzone.h>

/* What struct page says of a page frame. */
struct mapkit_frame {
	unsigned long page;
	unsigned long head_pfn;
	unsigned long flags;
	int refcount;
	int mapcount;
	unsigned int order;
	unsigned int node;
	unsigned int zone;
	enum migratetype migratetype;
	char zone_name[8];
};

/* An area of the kernel's address space; @last is its last byte. */
struct mapkit_area {
	unsigned long start;
	unsigned long last;
};

/* Which addresses are user mode's and which the kernel's. */
struct mapkit_halves {
	u64 user_last;
	u64 kernel_first;
	/* What is added to a physical address, and wraps, is its address in the direct map. */
	u64 phys_to_virt;
};

/* Positions in the array that mapkit_areas() fills. What an architecture lacks stays zero. */
enum {
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
	MAPKIT_AREAS,
};

unsigned long mapkit_local_irq_save(void);
void mapkit_local_irq_restore(unsigned long flags);
int mapkit_mmap_write_lock_killable(struct mm_struct *mm);
void mapkit_mmap_write_unlock(struct mm_struct *mm);
int mapkit_read_memory(u64 phys, void *to, size_t size);
bool mapkit_is_memory(unsigned long pfn);
long mapkit_probe_kernel(unsigned long addr);
long mapkit_counted_pfn(struct mm_struct *mm, unsigned long addr);
bool mapkit_frame_of(unsigned long pfn, struct mapkit_frame *frame);
void mapkit_areas(struct mapkit_area areas[MAPKIT_AREAS]);

/* Architecture. */
unsigned int mapkit_address_bits(void);
void mapkit_halves(struct mapkit_halves *halves);
u64 mapkit_top_table(struct mm_struct *mm, u64 addr);
u64 mapkit_kernel_table(struct mm_struct *mm);
u64 mapkit_user_mode_table(struct mm_struct *mm, u64 addr);
u64 mapkit_table_register(void);
u64 mapkit_entry_phys(u64 entry);
bool mapkit_entry_is_shared(u64 entry);
u64 mapkit_memory_types(void);
bool mapkit_tables_are_physical(void);

#endif
