/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of C that the kernel series do not share. Each goes with the series that has the other one.
 */

/* Before Linux 7.3. */
#if defined(CONFIG_X86_64) && !defined(_PAGE_BIT_UFFD)
#define _PAGE_BIT_UFFD _PAGE_BIT_UFFD_WP
#endif
#if defined(CONFIG_ARM64) && !defined(PTE_UFFD)
#define PTE_UFFD PTE_UFFD_WP
#endif
