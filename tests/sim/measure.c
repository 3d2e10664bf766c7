/*
 * Simulator: speed and memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

int measure_bench(const Options *opt)
{
    return 0;
}

int measure_footprint(const Options *opt)
{
    return 0;
}

int measure_scale(const Options *opt)
{
    return 0;
}
