// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two mappings of a file show the same memory, which is zeroed, and the next file has its own. A mapping that is
 * longer than the buffer is refused.
 */
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int open_device(void)
{
	int fd = open("/dev/example", O_RDWR);

	if (fd < 0)
		error(1, errno, "/dev/example");
	return fd;
}

static char *map(int fd, size_t length)
{
	char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		error(1, errno, "mmap of %zu bytes", length);
	return memory;
}

int main(void)
{
	size_t page = sysconf(_SC_PAGESIZE), length = 16 * page;
	int first = open_device(), second = open_device();
	char *one = map(first, length), *same = map(first, length), *other = map(second, length);

	for (size_t i = 0; i < length; i++)
		if (one[i] != 0)
			error(1, 0, "byte %zu is not zero", i);
	strcpy(one + length - page, "seen");
	if (strcmp(same + length - page, "seen") != 0)
		error(1, 0, "the second mapping shows other memory");
	if (other[length - page] != 0)
		error(1, 0, "two files have the same memory");
	if (mmap(NULL, length + page, PROT_READ, MAP_SHARED, first, 0) != MAP_FAILED)
		error(1, 0, "more was mapped than there is");
	puts("/dev/example: ok");
	return 0;
}
