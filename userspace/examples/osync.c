/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A file opened with O_SYNC has an uncached default region, for CAP_SYS_ADMIN. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "mapwright.h"

int main(void)
{
	struct mapwright_query query = { .size = sizeof(query) };	/* the region at offset 0 */
	int fd = open(MAPWRIGHT_DEVICE, O_RDWR | O_SYNC);
	char *memory;

	if (fd < 0)
		err(1, MAPWRIGHT_DEVICE);
	memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {	/* 32-bit ARM has none, and others may not have it */
		warn("no uncached memory here");
		puts("done");
		return 0;
	}
	memory[0] = 1;
	if (ioctl(fd, MAPWRIGHT_QUERY, &query))
		err(1, "MAPWRIGHT_QUERY");
	puts(query.caching == MAPWRIGHT_CACHING_UC ? "done" : "it is cached");
	return query.caching != MAPWRIGHT_CACHING_UC;
}
