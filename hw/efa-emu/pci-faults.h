/*
 * EFA device model: faults of admin commands as QOM properties
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_PCI_FAULTS_H
#define HW_EFA_PCI_FAULTS_H

#include "faults.h"

/*
 * Read @faults from an input visitor, or give it to an output visitor. After
 * input it is the caller's to clear; it has been checked.
 */
bool efa_faults_visit(Visitor *v, const char *name, EfaFaults *faults,
                      Error **errp);
/* Give @num @stats to an output visitor. */
bool efa_fault_stats_visit(Visitor *v, const char *name, EfaFaultStats *stats,
                           size_t num, Error **errp);

#endif /* HW_EFA_PCI_FAULTS_H */
