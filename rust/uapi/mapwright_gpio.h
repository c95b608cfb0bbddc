/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of /dev/mapwright-gpioN: one GPIO bank of an AM335x, 32 lines.
 *
 * The rules of the ioctls are those of /dev/mapwright. Beyond them: ENODEV if
 * the device is gone (its driver was unbound, or all its registers read as
 * ones), EINVAL for a line that the bank does not have, EBUSY to change a line
 * that somebody has for himself: because it blinks, is an LED, or was requested
 * through gpiolib.
 *
 * The level of an output is what it drives, of an input what is at its pin.
 *
 * mmap(2) of one page at offset 0 maps the registers uncached; it takes
 * CAP_SYS_RAWIO (EPERM) and, to be writable, the module's parameter
 * writable_registers (EACCES). When the device goes, the page goes, too:
 * SIGBUS. read(2) gives the levels of all lines as eight hexadecimal digits and
 * a newline.
 *
 * Written by make header, from rust/uapi/gpio.rs: change that.
 */
#ifndef _UAPI_MAPWRIGHT_GPIO_H
#define _UAPI_MAPWRIGHT_GPIO_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* What the names of the device nodes begin with; a number follows. */
#define MAPWRIGHT_GPIO_NAME "mapwright-gpio"

/* Banks that there can be at a time, as many as an AM335x has. */
#define MAPWRIGHT_GPIO_MAX_BANKS 4

/* Lines of a bank. */
#define MAPWRIGHT_GPIO_LINES 32

/*
 * mapwright_gpio_info.mode: another driver keeps clock and directions; here
 * outputs are set and cleared, and lines read.
 */
#define MAPWRIGHT_GPIO_MODE_HOG 0

/* mapwright_gpio_info.mode: all of the bank is this driver's. */
#define MAPWRIGHT_GPIO_MODE_BANK 1

/* mapwright_gpio_wait.edges: from low to high. */
#define MAPWRIGHT_GPIO_EDGE_RISING 1

/* mapwright_gpio_wait.edges: from high to low. */
#define MAPWRIGHT_GPIO_EDGE_FALLING 2

/* Shortest mapwright_gpio_blink.period, in microseconds. */
#define MAPWRIGHT_GPIO_MIN_PERIOD 100

/* Longest mapwright_gpio_blink.period, in microseconds. */
#define MAPWRIGHT_GPIO_MAX_PERIOD 100000000

/**
 * struct mapwright_gpio_info - how the bank is now. Everything but size is
 *	output.
 * @size: Bytes of this structure.
 * @mode: MAPWRIGHT_GPIO_MODE_HOG or MAPWRIGHT_GPIO_MODE_BANK.
 * @revision: The register REVISION.
 * @outputs: A bit for each line that is an output.
 * @levels: A bit for each line that is high.
 * @blinking: A bit for each line that blinks.
 * @leds: A bit for each line that is an LED.
 * @requested: A bit for each line that a consumer of gpiolib has requested:
 *	gpioinfo tells which.
 */
struct mapwright_gpio_info {
	__u32 size;
	__u32 mode;
	__u32 revision;
	__u32 outputs;
	__u32 levels;
	__u32 blinking;
	__u32 leds;
	__u32 requested;
};
#define MAPWRIGHT_GPIO_INFO _IO(0xe7, 0x60)

/**
 * struct mapwright_gpio_outputs - makes outputs high and low, each with a
 *	single store. Both zero only asks for the levels.
 * @size: Bytes of this structure.
 * @set: A bit for each line to make high.
 * @clear: A bit for each line to make low.
 * @levels: Out: a bit for each line that is high now.
 *
 * EINVAL if a line is in both; EBUSY if one is in use; EPERM if one is an
 * input.
 */
struct mapwright_gpio_outputs {
	__u32 size;
	__u32 set;
	__u32 clear;
	__u32 levels;
};
#define MAPWRIGHT_GPIO_OUTPUTS _IO(0xe7, 0x61)

/**
 * struct mapwright_gpio_direction - makes a line an output or an input.
 * @size: Bytes of this structure.
 * @line: The line, below MAPWRIGHT_GPIO_LINES.
 * @output: 1: an output; 0: an input.
 * @reserved: Zero.
 *
 * EOPNOTSUPP in MAPWRIGHT_GPIO_MODE_HOG, where directions are the other
 * driver's; EBUSY if it is in use.
 */
struct mapwright_gpio_direction {
	__u32 size;
	__u32 line;
	__u32 output;
	__u32 reserved;
};
#define MAPWRIGHT_GPIO_DIRECTION _IO(0xe7, 0x62)

/**
 * struct mapwright_gpio_blink - the kernel toggles an output, until told
 *	otherwise or the driver is unbound; which program asked does not
 *	matter. It begins high, and is low when it ends.
 * @size: Bytes of this structure.
 * @line: The line, below MAPWRIGHT_GPIO_LINES.
 * @period: Microseconds of one high and one low, MAPWRIGHT_GPIO_MIN_PERIOD to
 *	MAPWRIGHT_GPIO_MAX_PERIOD; 0 stops.
 * @reserved: Zero.
 *
 * EBUSY if it blinks already or is in use otherwise, ENOENT if it is to stop
 * and does not; EPERM if it is an input; EINVAL for a period out of range.
 */
struct mapwright_gpio_blink {
	__u32 size;
	__u32 line;
	__u32 period;
	__u32 reserved;
};
#define MAPWRIGHT_GPIO_BLINK _IO(0xe7, 0x63)

/**
 * struct mapwright_gpio_wait - sleeps until a line has an edge.
 * @size: Bytes of this structure.
 * @line: The line, below MAPWRIGHT_GPIO_LINES.
 * @edges: MAPWRIGHT_GPIO_EDGE_RISING, MAPWRIGHT_GPIO_EDGE_FALLING or both.
 * @timeout: Milliseconds to wait at most; 0 for as long as it takes.
 * @nr_edges: Out: edges that were seen, at least 1.
 * @level: Out: the line's level after the last.
 *
 * It goes on while the system sleeps, and an edge in this time is one, if the
 * bank kept its power. A signal, which may also be a stop or a freeze of a
 * control group, interrupts the call. Then timeout is what was left, and the
 * kernel begins the call again when the program goes on, which ends at the time
 * that was meant in the beginning. Edges between are not seen;
 * MAPWRIGHT_GPIO_WATCH counts them. Only after a handler without SA_RESTART the
 * program is told EINTR, and may begin it again itself.
 *
 * ETIMEDOUT; EINTR; EBUSY if it was requested through gpiolib; EOPNOTSUPP in
 * MAPWRIGHT_GPIO_MODE_HOG and where the device has no interrupt.
 */
struct mapwright_gpio_wait {
	__u32 size;
	__u32 line;
	__u32 edges;
	__u32 timeout;
	__u32 nr_edges;
	__u32 level;
};
#define MAPWRIGHT_GPIO_WAIT _IO(0xe7, 0x64)

/**
 * struct mapwright_gpio_watch - which edges this open file is told of, instead
 *	of those before. poll(2) says POLLIN when there were some, and POLLHUP
 *	when the device is gone; MAPWRIGHT_GPIO_EVENTS which.
 * @size: Bytes of this structure.
 * @rising: A bit for each line whose rising edges are watched.
 * @falling: A bit for each line whose falling edges are watched.
 * @reserved: Zero.
 *
 * EBUSY if a line was requested through gpiolib; EOPNOTSUPP as for
 * MAPWRIGHT_GPIO_WAIT.
 */
struct mapwright_gpio_watch {
	__u32 size;
	__u32 rising;
	__u32 falling;
	__u32 reserved;
};
#define MAPWRIGHT_GPIO_WATCH _IO(0xe7, 0x65)

/**
 * struct mapwright_gpio_events - which of the watched edges there were since
 *	this was last asked, successfully. Never sleeps.
 * @size: Bytes of this structure.
 * @rising: Out: a bit for each line that had a rising edge.
 * @falling: Out: a bit for each line that had a falling edge.
 * @levels: Out: a bit for each line that is high now.
 */
struct mapwright_gpio_events {
	__u32 size;
	__u32 rising;
	__u32 falling;
	__u32 levels;
};
#define MAPWRIGHT_GPIO_EVENTS _IO(0xe7, 0x66)

#endif /* _UAPI_MAPWRIGHT_GPIO_H */
