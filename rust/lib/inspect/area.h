/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the architectures share.
 */

#ifndef MAPKIT_AREA_H
#define MAPKIT_AREA_H

#include "../mapkit.h"

static inline void set_area(struct mapkit_area *area, unsigned long start, unsigned long end)
{
	area->start = start;
	area->last = end - 1;
}

#endif
