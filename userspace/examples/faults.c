/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Counts the page faults of a lazy mapping: one fault maps the pages around it, too. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "mapwright.h"

int main(void)
{
	struct mapwright_create create = {
		.size = sizeof(create), .bytes = 4 << 20,
		.backing = MAPWRIGHT_BACKING_PAGES, .method = MAPWRIGHT_METHOD_FAULT,
	};
	struct mapwright_query query = { .size = sizeof(query) };
	size_t page = sysconf(_SC_PAGESIZE);
	int fd = open(MAPWRIGHT_DEVICE, O_RDWR);

	if (fd < 0 || ioctl(fd, MAPWRIGHT_CREATE, &create))
		err(1, MAPWRIGHT_DEVICE);
	volatile char *memory = mmap(NULL, create.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				     create.offset);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	for (size_t at = 0; at < create.bytes; at += page)
		memory[at] = 1;
	query.id = create.id;
	if (ioctl(fd, MAPWRIGHT_QUERY, &query))
		err(1, "MAPWRIGHT_QUERY");
	printf("%llu pages touched, %llu faults, %llu pages mapped by them\n", create.bytes / page,
	       query.faults_write, query.pages_faulted);
	puts("done");
	return query.faults_write == 0 || query.faults_write >= query.pages_faulted;
}
