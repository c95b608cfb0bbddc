// SPDX-License-Identifier: GPL-2.0-only
/*
 * A subsystem of configfs, whose items are made by mkdir(2) and have attributes that are told by their numbers.
 */

#include <linux/configfs.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "../mapkit.h"

struct mapkit_config {
	struct configfs_subsystem subsys;
	struct config_item_type root;
	struct config_item_type items;
	struct configfs_item_operations item_operations;
	struct configfs_group_operations group_operations;
	struct configfs_attribute attributes[MAPKIT_CONFIG_ATTRIBUTES];
	struct configfs_attribute *list[MAPKIT_CONFIG_ATTRIBUTES + 1];
	const struct mapkit_config_operations *ops;
	void *data;
};

struct mapkit_config_item {
	struct config_item item;
	struct mapkit_config *config;
	void *data;
};

static struct mapkit_config_item *to_item(struct config_item *item)
{
	return container_of(item, struct mapkit_config_item, item);
}

static ssize_t show(struct config_item *item, unsigned int index, char *page)
{
	return to_item(item)->config->ops->show(to_item(item)->data, index, page);
}

static ssize_t store(struct config_item *item, unsigned int index, const char *text, size_t bytes)
{
	return to_item(item)->config->ops->store(to_item(item)->data, index, text, bytes);
}

/* configfs does not tell which attribute is meant. */
#define ATTRIBUTE(n)										\
	static ssize_t show_##n(struct config_item *item, char *page)				\
	{											\
		return show(item, n, page);							\
	}											\
	static ssize_t store_##n(struct config_item *item, const char *text, size_t bytes)	\
	{											\
		return store(item, n, text, bytes);						\
	}

ATTRIBUTE(0)
ATTRIBUTE(1)
ATTRIBUTE(2)
ATTRIBUTE(3)
ATTRIBUTE(4)
ATTRIBUTE(5)
ATTRIBUTE(6)
ATTRIBUTE(7)

static const struct {
	ssize_t (*show)(struct config_item *item, char *page);
	ssize_t (*store)(struct config_item *item, const char *text, size_t bytes);
} functions[MAPKIT_CONFIG_ATTRIBUTES] = {
	{ show_0, store_0 }, { show_1, store_1 }, { show_2, store_2 }, { show_3, store_3 },
	{ show_4, store_4 }, { show_5, store_5 }, { show_6, store_6 }, { show_7, store_7 },
};

static struct config_item *make_item(struct config_group *group, const char *name)
{
	struct mapkit_config *config = container_of(to_configfs_subsystem(group), struct mapkit_config, subsys);
	struct mapkit_config_item *item = kzalloc(sizeof(*item), GFP_KERNEL);
	void *data;

	if (!item)
		return ERR_PTR(-ENOMEM);
	item->config = config;
	data = config->ops->make(config->data, name, item);
	if (IS_ERR(data)) {
		kfree(item);
		return data;
	}
	item->data = data;
	config_item_init_type_name(&item->item, name, &config->items);
	return &item->item;
}

static void release(struct config_item *item)
{
	to_item(item)->config->ops->release(to_item(item)->data);
	kfree(to_item(item));
}

struct mapkit_config *mapkit_config_register(struct module *owner, const char *name,
					     const struct mapkit_config_operations *ops, void *data)
{
	struct mapkit_config *config;
	unsigned int i;
	int err;

	if (ops->count > MAPKIT_CONFIG_ATTRIBUTES || strlen(name) >= CONFIGFS_ITEM_NAME_LEN)
		return ERR_PTR(-EINVAL);
	config = kzalloc(sizeof(*config), GFP_KERNEL);
	if (!config)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < ops->count; i++) {
		struct configfs_attribute *attribute = &config->attributes[i];

		attribute->ca_name = ops->attributes[i].name;
		attribute->ca_owner = owner;
		attribute->ca_mode = ops->attributes[i].mode;
		attribute->show = functions[i].show;
		attribute->store = functions[i].store;
		config->list[i] = attribute;
	}
	config->item_operations.release = release;
	config->group_operations.make_item = make_item;
	config->items.ct_owner = owner;
	config->items.ct_item_ops = &config->item_operations;
	config->items.ct_attrs = config->list;
	config->root.ct_owner = owner;
	config->root.ct_group_ops = &config->group_operations;
	config->ops = ops;
	config->data = data;
	strscpy(config->subsys.su_group.cg_item.ci_namebuf, name, CONFIGFS_ITEM_NAME_LEN);
	config->subsys.su_group.cg_item.ci_type = &config->root;
	config_group_init(&config->subsys.su_group);
	mutex_init(&config->subsys.su_mutex);
	err = configfs_register_subsystem(&config->subsys);
	if (err) {
		kfree(config);
		return ERR_PTR(err);
	}
	return config;
}

void mapkit_config_unregister(struct mapkit_config *config)
{
	configfs_unregister_subsystem(&config->subsys);
	mutex_destroy(&config->subsys.su_mutex);
	kfree(config);
}

int mapkit_config_keep(struct mapkit_config_item *item)
{
	return configfs_depend_item_unlocked(&item->config->subsys, &item->item);
}

void mapkit_config_let_go(struct mapkit_config_item *item)
{
	configfs_undepend_item_unlocked(&item->item);
}
