/*
 * EFA device model: visitors that the device's properties share
 *
 * What QAPI would generate from a schema; the device brings its own, since it
 * does not edit QEMU's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_PCI_VISIT_H
#define HW_EFA_PCI_VISIT_H

/* An array of structures of @size bytes, without pointers in them. */
typedef struct EfaVisitArray {
    size_t size;
    void (*init)(void *item);       /* before members are read */
    bool (*members)(Visitor *v, void *item, Error **errp);
} EfaVisitArray;

/*
 * Read @items, an array of @num, from an input visitor, or give it to an
 * output visitor. After input it is the caller's to g_free().
 */
bool efa_visit_array(Visitor *v, const char *name, const EfaVisitArray *type,
                     void **items, size_t *num, Error **errp);

/* A member that may be absent, and then keeps its value; output shows it. */
bool efa_visit_uint16(Visitor *v, const char *name, uint16_t *value,
                      Error **errp);
bool efa_visit_uint32(Visitor *v, const char *name, uint32_t *value,
                      Error **errp);
bool efa_visit_number(Visitor *v, const char *name, double *value,
                      Error **errp);
/* @value: an index of @lookup. */
bool efa_visit_enum(Visitor *v, const char *name, const QEnumLookup *lookup,
                    int *value, Error **errp);

#endif /* HW_EFA_PCI_VISIT_H */
