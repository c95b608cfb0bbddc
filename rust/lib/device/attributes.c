// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes of a device in sysfs that are told by their numbers.
 */

#include <linux/device.h>
#include <linux/err.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include "../mapkit.h"

struct mapkit_device_attribute {
	struct device_attribute attr;
	struct mapkit_attributes *all;
	unsigned int index;
};

struct mapkit_attributes {
	struct attribute_group group;
	const struct attribute_group *groups[2];
	struct attribute **list;
	mapkit_attribute_show_t show;
	mapkit_attribute_store_t store;
	void *data;
	struct mapkit_device_attribute entries[];
};

static ssize_t show(struct device *dev, struct device_attribute *attr, char *page)
{
	struct mapkit_device_attribute *entry = container_of(attr, struct mapkit_device_attribute, attr);

	return entry->all->show(entry->all->data, entry->index, page);
}

static ssize_t store(struct device *dev, struct device_attribute *attr, const char *text, size_t bytes)
{
	struct mapkit_device_attribute *entry = container_of(attr, struct mapkit_device_attribute, attr);

	return entry->all->store(entry->all->data, entry->index, text, bytes);
}

struct mapkit_attributes *mapkit_attributes_new(const struct mapkit_attribute *attributes, unsigned int count,
						mapkit_attribute_show_t show_text,
						mapkit_attribute_store_t store_text, void *data)
{
	struct mapkit_attributes *all = kzalloc(struct_size(all, entries, count), GFP_KERNEL);
	unsigned int i;

	if (!all)
		return ERR_PTR(-ENOMEM);
	all->list = kcalloc(count + 1, sizeof(*all->list), GFP_KERNEL);
	if (!all->list) {
		kfree(all);
		return ERR_PTR(-ENOMEM);
	}
	for (i = 0; i < count; i++) {
		struct mapkit_device_attribute *entry = &all->entries[i];

		sysfs_attr_init(&entry->attr.attr);
		entry->attr.attr.name = attributes[i].name;
		entry->attr.attr.mode = attributes[i].mode;
		entry->attr.show = show;
		entry->attr.store = store;
		entry->all = all;
		entry->index = i;
		all->list[i] = &entry->attr.attr;
	}
	all->group.attrs = all->list;
	all->groups[0] = &all->group;
	all->show = show_text;
	all->store = store_text;
	all->data = data;
	return all;
}

const struct attribute_group **mapkit_attributes_groups(struct mapkit_attributes *all)
{
	return all->groups;
}

void mapkit_attributes_free(struct mapkit_attributes *all)
{
	kfree(all->list);
	kfree(all);
}
