/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Walks the page tables of this program. */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include "mapwright_inspect.h"

int main(void)
{
	/* ANCHOR: example */
	static const char *const names[] = { "PGD", "P4D", "PUD", "PMD", "PTE" };
	volatile char memory[] = "here";
	struct mapwright_inspect_walk walk = { .size = sizeof(walk), .address = (uintptr_t)memory };
	int fd = open("/dev/mapwright-inspect", O_RDWR);

	if (fd < 0 || ioctl(fd, MAPWRIGHT_INSPECT_WALK, &walk))
		err(1, "/dev/mapwright-inspect");
	for (__u32 i = 0; i < walk.nr_levels; i++) {
		const struct mapwright_inspect_walk_level *step = &walk.levels[i];

		printf("%s[%u] = %#llx\n", names[step->level], step->index, step->value);
	}
	printf("physical address %#llx, in a page of %llu bytes\n", walk.physical, walk.page_size);
	/* ANCHOR_END: example */
	if (walk.physical == MAPWRIGHT_INSPECT_NO_ADDRESS)
		errx(1, "it is nowhere");
	puts("done");
	return 0;
}
