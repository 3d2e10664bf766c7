/*
 * EFA device model: tables of objects by index
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-internal.h"

void efa_table_init(EfaTable *t, uint32_t size)
{
    t->slot = g_new0(void *, size);
    t->gen = g_new0(uint8_t, size);
    t->size = size;
    t->used = 0;
    t->next = 0;
}

void efa_table_destroy(EfaTable *t)
{
    g_free(t->slot);
    g_free(t->gen);
    memset(t, 0, sizeof(*t));
}

uint32_t efa_table_add_where(EfaTable *t, void *obj,
                             bool (*usable)(void *opaque, uint32_t index),
                             void *opaque)
{
    uint32_t i;

    if (t->used == t->size) {
        return EFA_NO_INDEX;
    }
    for (i = 0; i < t->size; i++) {
        uint32_t index = (t->next + i) % t->size;

        if (!t->slot[index] && (!usable || usable(opaque, index))) {
            t->slot[index] = obj;
            t->used++;
            /* Go on behind it, so that a stale index stays stale for long. */
            t->next = (index + 1) % t->size;
            return index;
        }
    }
    return EFA_NO_INDEX;
}

uint32_t efa_table_add(EfaTable *t, void *obj)
{
    return efa_table_add_where(t, obj, NULL, NULL);
}

void *efa_table_get(const EfaTable *t, uint32_t index)
{
    return index < t->size ? t->slot[index] : NULL;
}

void efa_table_remove(EfaTable *t, uint32_t index)
{
    t->slot[index] = NULL;
    t->gen[index]++;
    t->used--;
}
