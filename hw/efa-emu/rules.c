/*
 * EFA device model: lists of rules that users give
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "rules.h"

bool efa_rule_refuse(GError **errp, const char *list, size_t rule,
                     const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                "rule %zu of %s: %s", rule, list, text);
    return false;
}
