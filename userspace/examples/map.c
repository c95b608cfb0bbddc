/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Makes a region of pages in one contiguous run, stores to it and reads it back through the kernel. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "mapwright.h"

int main(void)
{
	struct mapwright_create create = {
		.size = sizeof(create), .bytes = 65536, .flags = MAPWRIGHT_CREATE_CONTIGUOUS,
		.backing = MAPWRIGHT_BACKING_PAGES, .method = MAPWRIGHT_METHOD_REMAP,
	};
	char seen[6] = "", *map;
	int fd = open(MAPWRIGHT_DEVICE, O_RDWR);

	if (fd < 0 || ioctl(fd, MAPWRIGHT_CREATE, &create))
		return perror(MAPWRIGHT_DEVICE), 1;
	map = mmap(NULL, create.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, create.offset);
	if (map == MAP_FAILED)
		return perror("mmap"), 1;
	strcpy(map, "hello");				/* no system call ... */
	if (pread(fd, seen, 6, create.offset) != 6)	/* ... and the kernel has it */
		return perror("pread"), 1;
	printf("region %llu: the kernel sees '%s'\n", (unsigned long long)create.id, seen);
	return strcmp(seen, "hello") != 0;
}
