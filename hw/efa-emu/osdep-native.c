/*
 * EFA device model: logging and tracing of the native build
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <stdarg.h>

static unsigned guest_errors;

void qemu_log_mask(int mask, const char *fmt, ...)
{
    static int enabled = -1;
    va_list ap;

    if (mask == LOG_GUEST_ERROR) {
        __atomic_fetch_add(&guest_errors, 1, __ATOMIC_RELAXED);
    }
    if (enabled < 0) {
        enabled = g_getenv("EFA_LOG") != NULL;
    }
    if (enabled) {
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
    }
}

unsigned efa_native_guest_errors(void)
{
    return qatomic_read(&guest_errors);
}

bool efa_native_trace_enabled(const char *event)
{
    const char *patterns = g_getenv("EFA_TRACE");
    g_auto(GStrv) list = NULL;
    unsigned i;

    if (!patterns) {
        return false;
    }
    list = g_strsplit(patterns, ",", 0);
    for (i = 0; list[i]; i++) {
        if (g_pattern_match_simple(list[i], event)) {
            return true;
        }
    }
    return false;
}
