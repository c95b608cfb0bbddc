// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver's part in the system's sleep: the kernel's crate gives its drivers no struct dev_pm_ops.
 *
 * A driver in C has one from the beginning. Here it gets it with its first device, before that is bound, when
 * the driver core looks whether there is one. So buses and power domains call it as they call any driver's.
 */

#include <linux/device.h>
#include <linux/err.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pm.h>
#include <linux/slab.h>
#include "../../mapkit.h"

struct mapkit_suspender {
	struct list_head entry;
	struct device *dev;
	mapkit_suspend_t suspend;
	mapkit_suspend_t resume;
	void *data;
};

static LIST_HEAD(suspenders);

/* Held during calls: who is taken off the list is not called any more. */
static DEFINE_MUTEX(lock);

static int suspend_noirq(struct device *dev)
{
	struct mapkit_suspender *suspender;

	mutex_lock(&lock);
	list_for_each_entry(suspender, &suspenders, entry) {
		if (suspender->dev == dev)
			suspender->suspend(suspender->data);
	}
	mutex_unlock(&lock);
	return 0;
}

static int resume_noirq(struct device *dev)
{
	struct mapkit_suspender *suspender;

	mutex_lock(&lock);
	list_for_each_entry(suspender, &suspenders, entry) {
		if (suspender->dev == dev)
			suspender->resume(suspender->data);
	}
	mutex_unlock(&lock);
	return 0;
}

static const struct dev_pm_ops operations = {
	NOIRQ_SYSTEM_SLEEP_PM_OPS(suspend_noirq, resume_noirq)
};

struct mapkit_suspender *mapkit_suspender_register(struct device *dev, mapkit_suspend_t suspend,
						   mapkit_suspend_t resume, void *data)
{
	struct device_driver *driver = (struct device_driver *)dev->driver;
	struct mapkit_suspender *suspender;

	/* The operations last as long as this module. */
	if (!driver || driver->owner != THIS_MODULE)
		return ERR_PTR(-EINVAL);
	if (driver->pm && driver->pm != &operations)
		return ERR_PTR(-EBUSY);
	suspender = kzalloc(sizeof(*suspender), GFP_KERNEL);
	if (!suspender)
		return ERR_PTR(-ENOMEM);
	suspender->dev = dev;
	suspender->suspend = suspend;
	suspender->resume = resume;
	suspender->data = data;
	mutex_lock(&lock);
	/* For good: for a device without a suspender, nothing is done. */
	WRITE_ONCE(driver->pm, &operations);
	list_add_tail(&suspender->entry, &suspenders);
	mutex_unlock(&lock);
	return suspender;
}

void mapkit_suspender_unregister(struct mapkit_suspender *suspender)
{
	mutex_lock(&lock);
	list_del(&suspender->entry);
	mutex_unlock(&lock);
	kfree(suspender);
}
