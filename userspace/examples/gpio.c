/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Blinks a line and waits for its edges with poll(). */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include "mapwright_gpio.h"

int main(void)
{
	/* ANCHOR: example */
	enum { USR0 = 21 };
	int fd = open("/dev/mapwright-gpio0", O_RDWR);
	struct mapwright_gpio_direction direction = {
		.size = sizeof(direction), .line = USR0, .output = 1,
	};
	struct mapwright_gpio_watch watch = { .size = sizeof(watch), .rising = 1u << USR0 };
	/* By a timer in the kernel, ten times a second, until it is stopped. */
	struct mapwright_gpio_blink blink = { .size = sizeof(blink), .line = USR0, .period = 100000 };

	if (fd < 0 || ioctl(fd, MAPWRIGHT_GPIO_DIRECTION, &direction))
		err(1, "/dev/mapwright-gpio0");
	if (ioctl(fd, MAPWRIGHT_GPIO_WATCH, &watch) || ioctl(fd, MAPWRIGHT_GPIO_BLINK, &blink))
		err(1, "MAPWRIGHT_GPIO_BLINK");
	for (int i = 0; i < 3; i++) {
		struct pollfd edge = { .fd = fd, .events = POLLIN };
		struct mapwright_gpio_events events = { .size = sizeof(events) };

		if (poll(&edge, 1, 10000) != 1)
			errx(1, "no edge for ten seconds");
		if (ioctl(fd, MAPWRIGHT_GPIO_EVENTS, &events) || events.rising != 1u << USR0)
			errx(1, "an edge of no line");
	}
	blink.period = 0;
	if (ioctl(fd, MAPWRIGHT_GPIO_BLINK, &blink))
		err(1, "MAPWRIGHT_GPIO_BLINK");

	struct mapwright_gpio_outputs outputs = { .size = sizeof(outputs), .set = 1u << USR0 };
	if (ioctl(fd, MAPWRIGHT_GPIO_OUTPUTS, &outputs))	/* one store */
		err(1, "MAPWRIGHT_GPIO_OUTPUTS");
	/* ANCHOR_END: example */
	outputs.set = 0;
	outputs.clear = 1u << USR0;
	if (ioctl(fd, MAPWRIGHT_GPIO_OUTPUTS, &outputs) || outputs.levels & 1u << USR0)
		errx(1, "the line stays high");
	puts("done");
	return 0;
}
