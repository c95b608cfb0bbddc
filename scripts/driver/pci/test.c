// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program and the kernel read the same register, which cannot be mapped to be written. When the device loses its
 * driver, the program that has the page mapped gets SIGBUS, and the file says ENODEV; nobody waits for the program.
 */
#include <dirent.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DRIVER "/sys/bus/pci/drivers/example/"

static sigjmp_buf gone;

static void on_sigbus(int signal)
{
	siglongjmp(gone, signal);
}

/* Has the file of the driver's folder, bind or unbind, do that with the device. */
static void tell_driver(const char *file, const char *device)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), DRIVER "%s", file);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, device, strlen(device)) < 0)
		error(1, errno, "%s of %s", file, device);
	close(fd);
}

/* The first device that the driver has: 0000:00:04.0, for one. */
static const char *find_device(void)
{
	DIR *folder = opendir(DRIVER);
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (strchr(entry->d_name, ':'))
			return entry->d_name;
	error(1, 0, "the driver has no device");
	return NULL;
}

int main(void)
{
	size_t page = sysconf(_SC_PAGESIZE);
	const char *device = find_device();
	volatile uint32_t *registers;
	uint32_t read_value;
	int fd = open("/dev/example", O_RDWR);

	if (fd < 0)
		error(1, errno, "/dev/example");
	if (mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
		error(1, 0, "the registers could be mapped to be written");
	registers = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	if (registers == MAP_FAILED)
		error(1, errno, "mmap");
	if (pread(fd, &read_value, sizeof(read_value), 0) != sizeof(read_value))
		error(1, errno, "pread");
	if (read_value != 0x010000ed || registers[0] != read_value)
		error(1, 0, "the kernel reads %#x, the program %#x", read_value, registers[0]);

	signal(SIGBUS, on_sigbus);
	tell_driver("unbind", device);
	if (sigsetjmp(gone, 1) == 0) {
		read_value = registers[0];
		error(1, 0, "the page of a device without its driver reads as %#x", read_value);
	}
	if (pread(fd, &read_value, sizeof(read_value), 0) >= 0 || errno != ENODEV)
		error(1, 0, "the file of a device without its driver can be read");
	close(fd);
	tell_driver("bind", device);
	puts("/dev/example: ok");
	return 0;
}
