/*
 * EFA device model: what the driver has told, as a QOM property
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_PCI_INFO_H
#define HW_EFA_PCI_INFO_H

#include "efa-core.h"

/* Give @info to an output visitor. */
bool efa_driver_info_visit(Visitor *v, const char *name, EfaDriverInfo *info,
                           Error **errp);

#endif /* HW_EFA_PCI_INFO_H */
