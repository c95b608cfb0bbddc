/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Has QEMU's edu device copy memory, and shares a region as a DMA-buf. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "mapwright.h"
#include "mapwright_dma.h"

static struct mapwright_create region(int fd, __u32 backing, __u32 method, __u64 bytes)
{
	struct mapwright_create create = {
		.size = sizeof(create), .backing = backing, .method = method, .bytes = bytes,
	};

	if (ioctl(fd, MAPWRIGHT_CREATE, &create))
		err(1, "MAPWRIGHT_CREATE");
	return create;
}

int main(void)
{
	const char text[] = "moved by the device";
	char contents[sizeof(text)];
	/* ANCHOR: example */
	int fd = open("/dev/mapwright-dma0", O_RDWR);
	struct mapwright_dma_info info = { .size = sizeof(info) };

	if (fd < 0 || ioctl(fd, MAPWRIGHT_DMA_INFO, &info))
		err(1, "/dev/mapwright-dma0");
	printf("the device has %u address bits\n", info.address_bits);

	/* Memory of this device: both sides see it alike at all times. */
	const __u32 coherent = MAPWRIGHT_BACKING_COHERENT, dma = MAPWRIGHT_METHOD_DMA;
	struct mapwright_create source = region(fd, coherent, dma, 8192);
	struct mapwright_create target = region(fd, coherent, dma, 8192);
	struct mapwright_dma_transfer transfer = {
		.size = sizeof(transfer), .source = source.id, .target = target.id, .bytes = 8192,
	};

	if (pwrite(fd, text, sizeof(text), source.offset) < 0)
		err(1, "pwrite");
	if (ioctl(fd, MAPWRIGHT_DMA_TRANSFER, &transfer))
		err(1, "MAPWRIGHT_DMA_TRANSFER");
	if (pread(fd, contents, sizeof(contents), target.offset) < 0)
		err(1, "pread");

	/* Pages of a region as a DMA-buf, which other drivers and programs can be given. */
	const __u32 pages = MAPWRIGHT_BACKING_PAGES, insert = MAPWRIGHT_METHOD_INSERT;
	struct mapwright_create shared = region(fd, pages, insert, 65536);
	struct mapwright_dma_export buffer = {
		.size = sizeof(buffer), .region = shared.id, .bytes = shared.bytes,
	};

	if (ioctl(fd, MAPWRIGHT_DMA_EXPORT, &buffer))
		err(1, "MAPWRIGHT_DMA_EXPORT");
	char *memory = mmap(NULL, shared.bytes, PROT_READ, MAP_SHARED, buffer.fd, 0);
	/* ANCHOR_END: example */
	if (memory == MAP_FAILED || pwrite(fd, "shared", 7, shared.offset) != 7)
		err(1, "the DMA-buf");
	if (strcmp(contents, text) || strcmp(memory, "shared"))
		errx(1, "there is '%s', and '%s' in the DMA-buf", contents, memory);
	puts("done");
	return 0;
}
