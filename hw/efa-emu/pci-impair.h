/*
 * EFA device model: impairments as QOM properties
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_PCI_IMPAIR_H
#define HW_EFA_PCI_IMPAIR_H

#include "impair.h"

/*
 * Read @impair from an input visitor, or give it to an output visitor. After
 * input it is the caller's to clear; it has been checked.
 */
bool efa_impair_visit(Visitor *v, const char *name, EfaImpair *impair,
                      Error **errp);
bool efa_impair_stats_visit(Visitor *v, const char *name,
                            EfaImpairStats *stats, Error **errp);

#endif /* HW_EFA_PCI_IMPAIR_H */
