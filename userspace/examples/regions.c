/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Makes a region, maps it, and asks all about it. */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "mapwright.h"

int main(void)
{
	/* ANCHOR: example */
	int fd = open(MAPWRIGHT_DEVICE, O_RDWR);
	struct mapwright_info info = { .size = sizeof(info) };

	if (fd < 0 || ioctl(fd, MAPWRIGHT_INFO, &info))
		err(1, MAPWRIGHT_DEVICE);
	printf("a page has %u bytes\n", info.page_size);

	struct mapwright_create create = {
		.size = sizeof(create), .bytes = 65536,
		.backing = MAPWRIGHT_BACKING_VMALLOC, .method = MAPWRIGHT_METHOD_FAULT,
	};
	if (ioctl(fd, MAPWRIGHT_CREATE, &create))
		err(1, "MAPWRIGHT_CREATE");
	char *memory = mmap(NULL, create.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			    create.offset);
	if (memory == MAP_FAILED)
		err(1, "mmap");

	char bytes[6] = "";
	strcpy(memory, "hello");			/* a store, no system call ... */
	if (pread(fd, bytes, 6, create.offset) != 6)	/* ... and the kernel has it */
		err(1, "pread");

	struct mapwright_query query = { .size = sizeof(query), .id = create.id };
	if (ioctl(fd, MAPWRIGHT_QUERY, &query))
		err(1, "MAPWRIGHT_QUERY");
	printf("region %llu: %llu runs, %llu write fault, %llu pages mapped\n", query.id, query.runs,
	       query.faults_write, query.pages_faulted);

	struct mapwright_page_info first;
	struct mapwright_pages pages = {		/* for CAP_SYS_ADMIN */
		.size = sizeof(pages), .id = create.id, .count = 1, .array = (uintptr_t)&first,
	};
	if (ioctl(fd, MAPWRIGHT_PAGES, &pages))
		err(1, "MAPWRIGHT_PAGES");
	printf("its first frame is %#llx\n", first.pfn);

	struct mapwright_sync sync = {
		.size = sizeof(sync), .flags = MAPWRIGHT_SYNC_FOR_DEVICE,
		.id = create.id, .bytes = create.bytes,
	};
	if (ioctl(fd, MAPWRIGHT_SYNC, &sync))
		err(1, "MAPWRIGHT_SYNC");

	struct mapwright_destroy destroy = { .size = sizeof(destroy), .id = create.id };
	munmap(memory, create.bytes);	/* a region that is mapped cannot be destroyed: EBUSY */
	if (ioctl(fd, MAPWRIGHT_DESTROY, &destroy))
		err(1, "MAPWRIGHT_DESTROY");
	/* ANCHOR_END: example */
	puts(strcmp(bytes, "hello") ? "the kernel saw something else" : "done");
	return strcmp(bytes, "hello") != 0;
}
