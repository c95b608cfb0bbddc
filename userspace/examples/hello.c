/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Maps the default region, stores to it, and reads it back through the kernel. It needs no header. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
	int fd = open("/dev/mapwright", O_RDWR);
	char *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), bytes[6] = "";

	if (memory == MAP_FAILED)
		return perror("/dev/mapwright"), 1;
	strcpy(memory, "hello");                         /* a store, no system call ... */
	pread(fd, bytes, sizeof(bytes), 0);              /* ... and the kernel sees "hello" */
	puts(bytes);
	return strcmp(bytes, "hello") != 0;
}
