// SPDX-License-Identifier: GPL-2.0-only
/*
 * A consumer of a GPIO line's interrupts in the kernel: counts how often a level interrupts. Programs
 * can ask gpiolib for edges only.
 */

#include <linux/delay.h>
#include <linux/err.h>
#include <linux/gpio/consumer.h>
#include <linux/gpio/driver.h>
#include <linux/interrupt.h>
#include <linux/module.h>

static char *label = "mapwright-gpio0";
module_param(label, charp, 0444);
MODULE_PARM_DESC(label, "The chip's label");

static unsigned int line;
module_param(line, uint, 0444);
MODULE_PARM_DESC(line, "The line, an input");

static bool high = true;
module_param(high, bool, 0444);
MODULE_PARM_DESC(high, "Whether it interrupts while it is high, or low");

static unsigned int count;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "How often it has");

static int wake;
module_param(wake, int, 0444);
MODULE_PARM_DESC(wake, "What enable_irq_wake() said: 0 or a negative error number");

static struct gpio_device *device;
static int irq;

/* The line stays as it is for a while, so this is called again. */
static irqreturn_t handle(int number, void *data)
{
	usleep_range(5000, 6000);
	WRITE_ONCE(count, count + 1);
	return IRQ_HANDLED;
}

static int __init mapwright_level_init(void)
{
	struct gpio_desc *desc;
	int err;

	device = gpio_device_find_by_label(label);
	if (!device)
		return -ENODEV;
	desc = gpio_device_get_desc(device, line);
	if (IS_ERR(desc)) {
		err = PTR_ERR(desc);
		goto put;
	}
	err = gpiod_to_irq(desc);
	if (err < 0)
		goto put;
	irq = err;
	err = request_threaded_irq(irq, NULL, handle, IRQF_ONESHOT | (high ? IRQF_TRIGGER_HIGH : IRQF_TRIGGER_LOW),
				   "mapwright_level", &count);
	if (err)
		goto put;
	wake = enable_irq_wake(irq);
	return 0;
put:
	gpio_device_put(device);
	return err;
}

static void __exit mapwright_level_exit(void)
{
	if (!wake)
		disable_irq_wake(irq);
	free_irq(irq, &count);
	gpio_device_put(device);
}

module_init(mapwright_level_init);
module_exit(mapwright_level_exit);

MODULE_DESCRIPTION("Counts how often the level of a GPIO line interrupts");
MODULE_LICENSE("GPL");
