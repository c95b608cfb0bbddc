/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Allocates and frees objects with kmalloc(), and says what that cost. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include "mapwright_alloc.h"

int main(void)
{
	/* ANCHOR: example */
	struct mapwright_alloc_run plan = {
		.size = sizeof(plan), .allocator = MAPWRIGHT_ALLOC_ALLOCATOR_KMALLOC,
		.bytes = 100, .count = 1000, .node = MAPWRIGHT_ALLOC_ANY_NODE,
	};
	int fd = open("/dev/mapwright-alloc", O_RDWR);

	if (fd < 0 || ioctl(fd, MAPWRIGHT_ALLOC_RUN, &plan))
		err(1, "/dev/mapwright-alloc");
	printf("%llu objects, %lld ns for an allocation and its free\n", plan.allocated,
	       (long long)(plan.allocating.ns - plan.allocating.empty_ns) / (long long)plan.allocated);
	/* ANCHOR_END: example */
	if (plan.allocated != plan.count)
		errx(1, "%llu allocations failed", plan.failed_memory);
	puts("done");
	return 0;
}
