// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parameters of mapwright.ko that are words, which Rust's module!{} cannot declare.
 */

#include <linux/moduleparam.h>

static char *default_backing = "pages";
module_param(default_backing, charp, 0444);
MODULE_PARM_DESC(default_backing,
		 "Backing of the region that programs get without asking: kmalloc, pages, folio, vmalloc, coherent");

static char *default_method = "remap";
module_param(default_method, charp, 0444);
MODULE_PARM_DESC(default_method,
		 "How that is mapped: remap, insert, fault, fault-pfn, huge, vmalloc-remap, dma");

static char *default_caching = "wb";
module_param(default_caching, charp, 0444);
MODULE_PARM_DESC(default_caching, "Its memory type: wb, wc, uc");
