// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parameter of mapwright_buffer.ko that is text, which Rust's module!{} cannot declare.
 */

#include <linux/moduleparam.h>

static char *buffers = "";
module_param(buffers, charp, 0444);
MODULE_PARM_DESC(buffers,
		 "Buffers to make: NAME:SIZE[:BACKING[:METHOD[:CACHING]]], several with commas between, as image:16M:pages");
