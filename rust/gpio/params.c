// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parameter of mapwright_gpio.ko that is text, which Rust's module!{} cannot declare.
 */

#include <linux/moduleparam.h>

static char *leds = "";
module_param(leds, charp, 0444);
MODULE_PARM_DESC(leds,
		 "Lines to make LEDs of, as BANK:MASK,...: a device's name in sysfs, and of 0x01e00000 (USR0 to USR3) a bit for each line");
