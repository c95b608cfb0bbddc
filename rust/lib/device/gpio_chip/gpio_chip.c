// SPDX-License-Identifier: GPL-2.0-only
/*
 * A GPIO controller and its interrupt controller, whose structures Rust has no bindings for.
 *
 * Every decision is made in Rust; here are only the structures, and what is a macro or inline.
 */

#include <linux/bits.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/gpio/consumer.h>
#include <linux/gpio/driver.h>
#include <linux/gpio/machine.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/pinctrl/pinconf-generic.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "../../mapkit.h"

struct mapkit_gpio_chip {
	struct gpio_chip gc;
	const struct mapkit_gpio_operations *ops;
	void *data;
	const char *names[MAPKIT_GPIO_LINES];
	/* The thread that requests or frees a line for the chip's driver itself, while it does. */
	struct task_struct *holder;
};

#if IS_ENABLED(CONFIG_GPIOLIB)

static struct mapkit_gpio_chip *chip_of(struct gpio_chip *gc)
{
	return container_of(gc, struct mapkit_gpio_chip, gc);
}

/* Whether gpiolib calls for a line that mapkit_gpio_chip_hold() or mapkit_gpio_chip_let_go() is about. */
static bool is_held_line(struct gpio_chip *gc)
{
	return READ_ONCE(chip_of(gc)->holder) == current;
}

static int request(struct gpio_chip *gc, unsigned int line)
{
	if (is_held_line(gc))
		return 0;
	return chip_of(gc)->ops->request(chip_of(gc)->data, line);
}

static void release(struct gpio_chip *gc, unsigned int line)
{
	if (!is_held_line(gc))
		chip_of(gc)->ops->free(chip_of(gc)->data, line);
}

static int get_direction(struct gpio_chip *gc, unsigned int line)
{
	int is_input = chip_of(gc)->ops->is_input(chip_of(gc)->data, line);

	if (is_input < 0)
		return is_input;
	return is_input ? GPIO_LINE_DIRECTION_IN : GPIO_LINE_DIRECTION_OUT;
}

static int direction_input(struct gpio_chip *gc, unsigned int line)
{
	return chip_of(gc)->ops->make_input(chip_of(gc)->data, line);
}

static int direction_output(struct gpio_chip *gc, unsigned int line, int value)
{
	return chip_of(gc)->ops->make_output(chip_of(gc)->data, line, value);
}

static int get_multiple(struct gpio_chip *gc, unsigned long *mask, unsigned long *bits)
{
	u32 levels = 0;
	int err = chip_of(gc)->ops->levels(chip_of(gc)->data, *mask, &levels);

	if (!err)
		*bits = levels;
	return err;
}

static int get(struct gpio_chip *gc, unsigned int line)
{
	unsigned long mask = BIT(line), bits = 0;
	int err = get_multiple(gc, &mask, &bits);

	return err ?: !!(bits & mask);
}

static int set_multiple(struct gpio_chip *gc, unsigned long *mask, unsigned long *bits)
{
	return chip_of(gc)->ops->set(chip_of(gc)->data, *mask & *bits, *mask & ~*bits);
}

static int set(struct gpio_chip *gc, unsigned int line, int value)
{
	unsigned long mask = BIT(line), bits = value ? mask : 0;

	return set_multiple(gc, &mask, &bits);
}

/*
 * What is not supported here, gpiolib does itself (open drain, open source, debouncing), or leaves (a bias):
 * Documentation/userspace-api/gpio/gpio-v2-get-line-ioctl.rst.
 */
static int set_config(struct gpio_chip *gc, unsigned int line, unsigned long config)
{
	if (pinconf_to_config_param(config) != PIN_CONFIG_INPUT_DEBOUNCE)
		return -ENOTSUPP;
	return chip_of(gc)->ops->debounce(chip_of(gc)->data, line, pinconf_to_config_argument(config));
}

#endif

#if IS_ENABLED(CONFIG_GPIOLIB_IRQCHIP)

static struct mapkit_gpio_chip *chip_of_irq(struct irq_data *d)
{
	return chip_of(irq_data_get_irq_chip_data(d));
}

static int irq_request_resources(struct irq_data *d)
{
	struct mapkit_gpio_chip *chip = chip_of_irq(d);
	int err = chip->ops->begin_interrupts(chip->data, irqd_to_hwirq(d));

	if (err)
		return err;
	err = gpiochip_reqres_irq(&chip->gc, irqd_to_hwirq(d));
	if (err)
		chip->ops->end_interrupts(chip->data, irqd_to_hwirq(d));
	return err;
}

static void irq_release_resources(struct irq_data *d)
{
	struct mapkit_gpio_chip *chip = chip_of_irq(d);

	gpiochip_relres_irq(&chip->gc, irqd_to_hwirq(d));
	chip->ops->end_interrupts(chip->data, irqd_to_hwirq(d));
}

static void irq_mask(struct irq_data *d)
{
	struct mapkit_gpio_chip *chip = chip_of_irq(d);

	chip->ops->mask(chip->data, irqd_to_hwirq(d));
	gpiochip_disable_irq(&chip->gc, irqd_to_hwirq(d));
}

static void irq_unmask(struct irq_data *d)
{
	struct mapkit_gpio_chip *chip = chip_of_irq(d);

	gpiochip_enable_irq(&chip->gc, irqd_to_hwirq(d));
	chip->ops->unmask(chip->data, irqd_to_hwirq(d));
}

/* Who calls mapkit_gpio_chip_interrupt() has acknowledged the edges, all at once. */
static void irq_ack(struct irq_data *d)
{
}

static int irq_set_type(struct irq_data *d, unsigned int type)
{
	struct mapkit_gpio_chip *chip = chip_of_irq(d);
	int err = chip->ops->detect(chip->data, irqd_to_hwirq(d), type);

	if (err)
		return err;
	if (type & IRQ_TYPE_LEVEL_MASK)
		irq_set_handler_locked(d, handle_level_irq);
	else if (type & IRQ_TYPE_EDGE_BOTH)
		irq_set_handler_locked(d, handle_edge_irq);
	else
		irq_set_handler_locked(d, handle_bad_irq);
	return 0;
}

/* Without irq_set_wake(), as a line wakes nobody: enable_irq_wake() fails. */
static const struct irq_chip lines = {
	.name = "mapwright_gpio",
	.irq_ack = irq_ack,
	.irq_mask = irq_mask,
	.irq_unmask = irq_unmask,
	.irq_set_type = irq_set_type,
	.irq_request_resources = irq_request_resources,
	.irq_release_resources = irq_release_resources,
	.flags = IRQCHIP_IMMUTABLE,
};

static void add_interrupts(struct gpio_chip *gc)
{
	gpio_irq_chip_set_chip(&gc->irq, &lines);
	/* The parent's handler is Rust's, which calls mapkit_gpio_chip_interrupt(). */
	gc->irq.default_type = IRQ_TYPE_NONE;
	gc->irq.handler = handle_bad_irq;
}

#elif IS_ENABLED(CONFIG_GPIOLIB)

static void add_interrupts(struct gpio_chip *gc)
{
}

#endif

struct mapkit_gpio_chip *mapkit_gpio_chip_register(struct device *parent, struct module *owner, const char *label,
						   const char *const *names,
						   const struct mapkit_gpio_operations *ops, void *data)
{
#if IS_ENABLED(CONFIG_GPIOLIB)
	struct mapkit_gpio_chip *chip = kzalloc(sizeof(*chip), GFP_KERNEL);
	struct gpio_chip *gc;
	int err;

	if (!chip)
		return ERR_PTR(-ENOMEM);
	chip->ops = ops;
	chip->data = data;
	gc = &chip->gc;
	gc->label = label;
	gc->parent = parent;
	gc->owner = owner;
	gc->base = -1;
	gc->ngpio = MAPKIT_GPIO_LINES;
	if (names) {
		memcpy(chip->names, names, sizeof(chip->names));
		gc->names = chip->names;
	}
	gc->request = request;
	gc->free = release;
	gc->get_direction = get_direction;
	gc->direction_input = direction_input;
	gc->direction_output = direction_output;
	gc->get = get;
	gc->get_multiple = get_multiple;
	gc->set = set;
	gc->set_multiple = set_multiple;
	gc->set_config = set_config;
	if (ops->detect)
		add_interrupts(gc);
	err = gpiochip_add_data(gc, chip);
	if (err) {
		kfree(chip);
		return ERR_PTR(err);
	}
	return chip;
#else
	return ERR_PTR(-EOPNOTSUPP);
#endif
}

void mapkit_gpio_chip_unregister(struct mapkit_gpio_chip *chip)
{
#if IS_ENABLED(CONFIG_GPIOLIB)
	gpiochip_remove(&chip->gc);
	kfree(chip);
#endif
}

void mapkit_gpio_chip_interrupt(struct mapkit_gpio_chip *chip, unsigned int line)
{
#if IS_ENABLED(CONFIG_GPIOLIB_IRQCHIP)
	/* Also where interrupts are threads, with PREEMPT_RT. A line nobody has requested has no mapping. */
	if (chip->gc.irq.domain)
		generic_handle_domain_irq_safe(chip->gc.irq.domain, line);
#endif
}

/*
 * gpiolib marks a line as requested before it asks the chip, which refuses it, and until after it has told the chip
 * that a consumer has freed it. This is over soon.
 */
#define HOLD_TRIES 200

/* A held line is known to others by the descriptor that gpiolib has of it. */
struct mapkit_gpio_line *mapkit_gpio_chip_hold(struct mapkit_gpio_chip *chip, unsigned int line, const char *consumer)
{
#if IS_ENABLED(CONFIG_GPIOLIB)
	struct gpio_desc *desc = ERR_PTR(-EBUSY);
	int tries;

	for (tries = 0; tries < HOLD_TRIES; tries++) {
		WRITE_ONCE(chip->holder, current);
		desc = gpiochip_request_own_desc(&chip->gc, line, consumer, GPIO_LOOKUP_FLAGS_DEFAULT, GPIOD_ASIS);
		WRITE_ONCE(chip->holder, NULL);
		if (desc != ERR_PTR(-EBUSY))
			break;
		usleep_range(50, 200);
	}
	return (struct mapkit_gpio_line *)desc;
#else
	return ERR_PTR(-EOPNOTSUPP);
#endif
}

void mapkit_gpio_chip_let_go(struct mapkit_gpio_chip *chip, struct mapkit_gpio_line *held)
{
#if IS_ENABLED(CONFIG_GPIOLIB)
	WRITE_ONCE(chip->holder, current);
	gpiochip_free_own_desc((struct gpio_desc *)held);
	WRITE_ONCE(chip->holder, NULL);
#endif
}

void mapkit_gpio_chip_update_direction(struct mapkit_gpio_line *held)
{
#if IS_ENABLED(CONFIG_GPIOLIB)
	/* It asks the chip, and keeps the answer. */
	gpiod_get_direction((struct gpio_desc *)held);
#endif
}
