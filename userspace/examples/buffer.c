/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Uses the buffer /dev/mapwright-example, which "mapwright buffer create example --size 64K" makes. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "mapwright.h"
#include "mapwright_dma.h"

/* Writes 1 to an attribute of the buffer in sysfs. */
static void tell(const char *attribute)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/misc/mapwright-example/%s", attribute);
	int fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "1", 1) != 1)
		err(1, "%s", path);
	close(fd);
}

int main(void)
{
	/* ANCHOR: example */
	int fd = open("/dev/mapwright-example", O_RDWR);
	off_t size = lseek(fd, 0, SEEK_END);
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd < 0 || memory == MAP_FAILED)
		err(1, "/dev/mapwright-example");
	strcpy(memory, "hello");
	tell("sync_for_device");	/* a device would be told dma_addr now */
	tell("sync_for_cpu");

	char bytes[6] = "";
	if (pread(fd, bytes, 6, 0) != 6)
		err(1, "pread");

	struct mapwright_query query = { .size = sizeof(query) };	/* region 0: the buffer */
	if (ioctl(fd, MAPWRIGHT_QUERY, &query))
		err(1, "MAPWRIGHT_QUERY");
	printf("%llu bytes in %llu runs\n", query.bytes, query.runs);

	struct mapwright_dma_export export = { .size = sizeof(export), .bytes = query.bytes };
	if (ioctl(fd, MAPWRIGHT_DMA_EXPORT, &export))
		err(1, "MAPWRIGHT_DMA_EXPORT");
	printf("as a DMA-buf it is file %d\n", export.fd);
	/* ANCHOR_END: example */
	puts(strcmp(bytes, "hello") ? "the kernel saw something else" : "done");
	return strcmp(bytes, "hello") != 0;
}
