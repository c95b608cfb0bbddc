// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reserved memory of a device tree, for a device whose node names it by its property memory-region.
 */

#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/iommu-dma.h>
#include <linux/ioport.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include "../mapkit.h"

static const char property[] = "memory-region";

int mapkit_memory_region(struct device *dev, struct mapkit_memory_region *region)
{
	struct device_node *node;
	struct resource range;
	int ret;

	if (!of_property_present(dev->of_node, property))
		return -ENOENT;
	node = of_parse_phandle(dev->of_node, property, 0);
	if (!node)
		return -EINVAL;
	region->is_pool = of_device_is_compatible(node, "shared-dma-pool");
	region->is_reusable = of_property_present(node, "reusable");
	region->is_unmapped = of_property_present(node, "no-map");
	of_node_put(node);
	/* Fails for a node that is disabled. */
	ret = of_reserved_mem_region_to_resource(dev->of_node, 0, &range);
	if (ret == -ENOENT)
		return -EINVAL;
	if (ret)
		return ret;
	region->base = range.start;
	region->bytes = resource_size(&range);
	return 0;
}

/* Whether the addresses of a device are those of memory, but for where its bus has that. */
static bool is_direct(struct device *dev)
{
	return !use_dma_iommu(dev) && !get_dma_ops(dev);
}

/* At which address a device finds memory; an error if it does not find all of it from there on, in one piece. */
static int find(struct device *dev, phys_addr_t base, u64 bytes, dma_addr_t *dma_addr)
{
	dma_addr_t first = phys_to_dma(dev, base);
	dma_addr_t last = phys_to_dma(dev, base + bytes - 1);

	if (!is_direct(dev))
		return -EOPNOTSUPP;
	if (first == DMA_MAPPING_ERROR || last < first || last - first != bytes - 1 || last > mapkit_dma_coherent_limit(dev))
		return -EIO;
	*dma_addr = first;
	return 0;
}

static void release(void *dev)
{
	of_reserved_mem_device_release(dev);
}

int mapkit_use_memory_region(struct device *dev, const struct mapkit_memory_region *region)
{
	dma_addr_t dma_addr;
	int ret;

	/* The DMA API does not look. */
	ret = find(dev, region->base, region->bytes, &dma_addr);
	if (ret)
		return ret;
	ret = of_reserved_mem_device_init(dev);
	if (ret)
		return ret;
	ret = devm_add_action_or_reset(dev, release, dev);
	if (ret)
		return ret;
	return mapkit_dma_frames_are_known(dev) ? 0 : -EOPNOTSUPP;
}

void *mapkit_map_memory_region(struct device *dev, phys_addr_t base, size_t bytes, dma_addr_t *dma_addr)
{
	void *addr;
	int ret;

	ret = find(dev, base, bytes, dma_addr);
	if (ret)
		return ERR_PTR(ret);
	addr = memremap(base, bytes, dev_is_dma_coherent(dev) ? MEMREMAP_WB : MEMREMAP_WC);
	return addr ?: ERR_PTR(-ENOMEM);
}
