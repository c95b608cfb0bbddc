// SPDX-License-Identifier: GPL-2.0-only
/*
 * An LED class device, whose structure Rust has no bindings for.
 */

#include <linux/err.h>
#include <linux/leds.h>
#include <linux/slab.h>
#include "../mapkit.h"

#if IS_REACHABLE(CONFIG_LEDS_CLASS)

struct mapkit_led {
	struct led_classdev cdev;
	mapkit_led_set_t set;
	void *data;
};

static void brightness_set(struct led_classdev *cdev, enum led_brightness brightness)
{
	struct mapkit_led *led = container_of(cdev, struct mapkit_led, cdev);

	led->set(led->data, brightness != LED_OFF);
}

struct mapkit_led *mapkit_led_register(const char *name, mapkit_led_set_t set, void *data)
{
	struct mapkit_led *led = kzalloc(sizeof(*led), GFP_KERNEL);
	int err;

	if (!led)
		return ERR_PTR(-ENOMEM);
	led->cdev.name = name;
	led->cdev.max_brightness = 1;
	led->cdev.brightness_set = brightness_set;
	led->set = set;
	led->data = data;
	err = led_classdev_register(NULL, &led->cdev);
	if (err) {
		kfree(led);
		return ERR_PTR(err);
	}
	return led;
}

void mapkit_led_unregister(struct mapkit_led *led)
{
	led_classdev_unregister(&led->cdev);
	kfree(led);
}

#else /* A kernel without the LED class, such as Debian's for the cloud. */

struct mapkit_led *mapkit_led_register(const char *name, mapkit_led_set_t set, void *data)
{
	return ERR_PTR(-EOPNOTSUPP);
}

void mapkit_led_unregister(struct mapkit_led *led)
{
}

#endif
