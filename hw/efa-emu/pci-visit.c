/*
 * EFA device model: visitors that the device's properties share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "qapi/visitor-impl.h"
#include "pci-visit.h"

/* Laid out as GenericList; what a list's element holds. */
typedef struct EfaVisitList {
    struct EfaVisitList *next;
    uint64_t item[];
} EfaVisitList;

static size_t efa_element_size(const EfaVisitArray *type)
{
    return sizeof(EfaVisitList) + type->size;
}

static void efa_free_list(EfaVisitList *list)
{
    while (list) {
        EfaVisitList *next = list->next;

        g_free(list);
        list = next;
    }
}

/* The other form of an array: what visitors walk along. */
static EfaVisitList *efa_to_list(const EfaVisitArray *type, const void *items,
                                 size_t num)
{
    EfaVisitList *list = NULL;

    while (num--) {
        EfaVisitList *first = g_malloc0(efa_element_size(type));

        first->next = list;
        memcpy(first->item, (const char *)items + num * type->size,
               type->size);
        list = first;
    }
    return list;
}

static void *efa_from_list(const EfaVisitArray *type, const EfaVisitList *list,
                           size_t *num)
{
    const EfaVisitList *l;
    char *items;
    size_t n = 0;

    for (l = list; l; l = l->next) {
        n++;
    }
    *num = n;
    items = g_malloc_n(n, type->size);
    for (n = 0, l = list; l; l = l->next, n++) {
        memcpy(items + n * type->size, l->item, type->size);
    }
    return items;
}

static bool efa_visit_item(Visitor *v, const EfaVisitArray *type, void *item,
                           Error **errp)
{
    bool ok;

    if (!visit_start_struct(v, NULL, NULL, 0, errp)) {
        return false;
    }
    if (visit_is_input(v) && type->init) {
        type->init(item);
    }
    ok = type->members(v, item, errp) && visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}

bool efa_visit_array(Visitor *v, const char *name, const EfaVisitArray *type,
                     void **items, size_t *num, Error **errp)
{
    EfaVisitList *list = NULL, *tail;
    size_t size = efa_element_size(type);
    bool ok = true;

    /* the plain form of a value, as HMP's qom-set has it, knows no members */
    if (!v->start_struct) {
        error_setg(errp, "%s is a list of structures, which only JSON can "
                   "write", name);
        return false;
    }
    if (!visit_is_input(v)) {
        list = efa_to_list(type, *items, *num);
    }
    if (!visit_start_list(v, name, (GenericList **)&list, size, errp)) {
        efa_free_list(list);
        return false;
    }
    for (tail = list; tail && ok;
         tail = (void *)visit_next_list(v, (void *)tail, size)) {
        ok = efa_visit_item(v, type, tail->item, errp);
    }
    ok = ok && visit_check_list(v, errp);
    visit_end_list(v, (void **)&list);
    if (ok && visit_is_input(v)) {
        *items = efa_from_list(type, list, num);
    }
    efa_free_list(list);
    return ok;
}

static bool efa_is_there(Visitor *v, const char *name)
{
    bool there = true;

    visit_optional(v, name, &there);
    return there;
}

bool efa_visit_uint16(Visitor *v, const char *name, uint16_t *value,
                      Error **errp)
{
    return !efa_is_there(v, name) || visit_type_uint16(v, name, value, errp);
}

bool efa_visit_uint32(Visitor *v, const char *name, uint32_t *value,
                      Error **errp)
{
    return !efa_is_there(v, name) || visit_type_uint32(v, name, value, errp);
}

bool efa_visit_number(Visitor *v, const char *name, double *value,
                      Error **errp)
{
    return !efa_is_there(v, name) || visit_type_number(v, name, value, errp);
}

bool efa_visit_enum(Visitor *v, const char *name, const QEnumLookup *lookup,
                    int *value, Error **errp)
{
    return !efa_is_there(v, name) ||
           visit_type_enum(v, name, value, lookup, errp);
}
