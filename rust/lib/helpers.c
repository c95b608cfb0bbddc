// SPDX-License-Identifier: GPL-2.0-only
/*
 * C wrappers of what Rust cannot call: macros and static inline functions.
 *
 * One line of work each; every decision is made in Rust.
 */

#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

struct page *mapkit_virt_to_page(const void *addr);
unsigned long mapkit_virt_to_pfn(const void *addr);
void *mapkit_folio_alloc(gfp_t gfp, unsigned int order);
void mapkit_folio_put(void *addr);
bool mapkit_fatal_signal_pending(void);
void *mapkit_kmalloc(size_t size, gfp_t gfp);
pgprot_t mapkit_pgprot_writecombine(pgprot_t prot);
pgprot_t mapkit_pgprot_noncached(pgprot_t prot);
void mapkit_this_cpu_add(unsigned long __percpu *counter, unsigned long n);
unsigned long mapkit_percpu_sum(const unsigned long __percpu *counter);

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

bool mapkit_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
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
