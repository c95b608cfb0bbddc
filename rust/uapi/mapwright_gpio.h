/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of a device of mapwright. Made from gpio.rs by `make header`: do not edit.
 * What the ioctls do and how they fail is said there.
 */
#ifndef MAPWRIGHT_GPIO_H
#define MAPWRIGHT_GPIO_H

#include <linux/ioctl.h>
#include <stdint.h>

/* What the names of the device nodes begin with; a number follows. */
#define MAPWRIGHT_GPIO_NAME "mapwright-gpio"

/* Banks that there can be at a time, as many as an AM335x has. */
#define MAPWRIGHT_GPIO_MAX_BANKS 4

/* Lines of a bank. */
#define MAPWRIGHT_GPIO_LINES 32

/* Ioctl request taking Info. */
#define MAPWRIGHT_GPIO_INFO _IO(0xe7, 0x60)

/* Ioctl request taking Outputs. */
#define MAPWRIGHT_GPIO_OUTPUTS _IO(0xe7, 0x61)

/* Ioctl request taking Direction. */
#define MAPWRIGHT_GPIO_DIRECTION _IO(0xe7, 0x62)

/* Ioctl request taking Blink. */
#define MAPWRIGHT_GPIO_BLINK _IO(0xe7, 0x63)

/* Ioctl request taking Wait. */
#define MAPWRIGHT_GPIO_WAIT _IO(0xe7, 0x64)

/* Ioctl request taking Watch. */
#define MAPWRIGHT_GPIO_WATCH _IO(0xe7, 0x65)

/* Ioctl request taking Events. */
#define MAPWRIGHT_GPIO_EVENTS _IO(0xe7, 0x66)

/* Info::mode: another driver keeps clock and directions; here outputs are set and cleared, and lines read. */
#define MAPWRIGHT_GPIO_MODE_HOG 0

/* Info::mode: all of the bank is this driver's. */
#define MAPWRIGHT_GPIO_MODE_BANK 1

/* Wait::edges: from low to high. */
#define MAPWRIGHT_GPIO_EDGE_RISING 1

/* Wait::edges: from high to low. */
#define MAPWRIGHT_GPIO_EDGE_FALLING 2

/* Shortest Blink::period, in microseconds. */
#define MAPWRIGHT_GPIO_MIN_PERIOD 100

/* Longest Blink::period, in microseconds. */
#define MAPWRIGHT_GPIO_MAX_PERIOD 100000000

/**
 * [`IOCTL_INFO`]: how the bank is now. Everything but `size` is output.
 */
struct mapwright_gpio_info {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * [`MODE_HOG`] or [`MODE_BANK`].
         */
        uint32_t mode;
        /**
         * The register REVISION.
         */
        uint32_t revision;
        /**
         * A bit for each line that is an output.
         */
        uint32_t outputs;
        /**
         * A bit for each line that is high.
         */
        uint32_t levels;
        /**
         * A bit for each line that blinks.
         */
        uint32_t blinking;
        /**
         * A bit for each line that is an LED.
         */
        uint32_t leds;
        /**
         * A bit for each line that a consumer of gpiolib has requested: `gpioinfo` tells which.
         */
        uint32_t requested;
};

/**
 * [`IOCTL_OUTPUTS`]: makes outputs high and low, each with a single store. Both zero only asks for
 * the levels.
 *
 * `EINVAL` if a line is in both; `EBUSY` if one is in use; `EPERM` if one is an input.
 */
struct mapwright_gpio_outputs {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * A bit for each line to make high.
         */
        uint32_t set;
        /**
         * A bit for each line to make low.
         */
        uint32_t clear;
        /**
         * Out: a bit for each line that is high now.
         */
        uint32_t levels;
};

/**
 * [`IOCTL_DIRECTION`]: makes a line an output or an input.
 *
 * `EOPNOTSUPP` in [`MODE_HOG`], where directions are the other driver's; `EBUSY` if it is in use.
 */
struct mapwright_gpio_direction {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * The line, below [`LINES`].
         */
        uint32_t line;
        /**
         * 1: an output; 0: an input.
         */
        uint32_t output;
        /**
         * Zero.
         */
        uint32_t reserved;
};

/**
 * [`IOCTL_BLINK`]: the kernel toggles an output, until told otherwise or the driver is unbound;
 * which program asked does not matter. It begins high, and is low when it ends.
 *
 * `EBUSY` if it blinks already or is in use otherwise, `ENOENT` if it is to stop and does not; `EPERM` if it is an input;
 * `EINVAL` for a period out of range.
 */
struct mapwright_gpio_blink {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * The line, below [`LINES`].
         */
        uint32_t line;
        /**
         * Microseconds of one high and one low, [`MIN_PERIOD`] to [`MAX_PERIOD`]; 0 stops.
         */
        uint32_t period;
        /**
         * Zero.
         */
        uint32_t reserved;
};

/**
 * [`IOCTL_WAIT`]: sleeps until a line has an edge.
 *
 * It goes on while the system sleeps, and an edge in this time is one, if the bank kept its power. A signal, which
 * may also be a stop or a freeze of a control group, interrupts the call. Then `timeout` is what was left, and the
 * kernel begins the call again when the program goes on, which ends at the time that was meant in the beginning. Edges
 * between are not seen; [`IOCTL_WATCH`] counts them. Only after a handler without `SA_RESTART` the program is
 * told `EINTR`, and may begin it again itself.
 *
 * `ETIMEDOUT`; `EINTR`; `EBUSY` if it was requested through gpiolib; `EOPNOTSUPP` in [`MODE_HOG`] and
 * where the device has no interrupt.
 */
struct mapwright_gpio_wait {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * The line, below [`LINES`].
         */
        uint32_t line;
        /**
         * [`EDGE_RISING`], [`EDGE_FALLING`] or both.
         */
        uint32_t edges;
        /**
         * Milliseconds to wait at most; 0 for as long as it takes.
         */
        uint32_t timeout;
        /**
         * Out: edges that were seen, at least 1.
         */
        uint32_t nr_edges;
        /**
         * Out: the line's level after the last.
         */
        uint32_t level;
};

/**
 * [`IOCTL_WATCH`]: which edges this open file is told of, instead of those before. `poll(2)` says
 * `POLLIN` when there were some, and `POLLHUP` when the device is gone; [`IOCTL_EVENTS`] which.
 *
 * `EBUSY` if a line was requested through gpiolib; `EOPNOTSUPP` as for [`IOCTL_WAIT`].
 */
struct mapwright_gpio_watch {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * A bit for each line whose rising edges are watched.
         */
        uint32_t rising;
        /**
         * A bit for each line whose falling edges are watched.
         */
        uint32_t falling;
        /**
         * Zero.
         */
        uint32_t reserved;
};

/**
 * [`IOCTL_EVENTS`]: which of the watched edges there were since this was last asked, successfully. Never sleeps.
 */
struct mapwright_gpio_events {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Out: a bit for each line that had a rising edge.
         */
        uint32_t rising;
        /**
         * Out: a bit for each line that had a falling edge.
         */
        uint32_t falling;
        /**
         * Out: a bit for each line that is high now.
         */
        uint32_t levels;
};

#endif /* MAPWRIGHT_GPIO_H */
